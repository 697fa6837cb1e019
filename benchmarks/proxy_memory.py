"""What a proxy holds in memory over 20,000 requests, with the guard and without.

    python -m benchmarks.proxy_memory [requests]    writes its part of docs/benchmarks.md

Two proxies run side by side and get the same conversations at the same time. Every second one is
broken for the guarded proxy; the other one gets it as the guard repairs it, so that both answer.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
from aiohttp import web

from litellm_role_guard import ChatTemplate, TemplateProfile, repair
from testing.load import client
from testing.processes import free_port, launch_proxy, running
from testing.proxies import write_config
from testing.talks import BROKEN, talk
from testing.templates import STRICT

from . import plot
from .page import BENCHMARKS, machine, table, write

REQUESTS = 20000
SAMPLES = 10
CONCURRENCY = 8
"""Requests that are open at once, at each proxy."""

TURNS = 4, 6
"""How many turns a conversation has, at least and at most; broken ones are so from the third on."""

CHARS = 160
STREAMED = 0.5
"""The part of the requests that is streamed."""

PATIENCE_SECONDS = 120.0
KEEPALIVE_SECONDS = 2
"""Shorter than the backend keeps its connections (docs/fleet.md)."""

GROUP = "gemma3"
ANSWER = "All right, and what is next?"
WITHOUT, WITH = "without", "with the guard"


@dataclass
class ResponseStore:
    """What one proxy holds, and what became of its requests.

    Attributes:
        pid: Its process.
        answered: How many requests it has answered.
        repaired: How many of them the guard says that it repaired.
        rss: After so many requests, the MB of memory in use.
        private: The same of memory that is the process's own.
    """

    pid: int
    answered: int = 0
    repaired: int = 0
    rss: list[tuple[int, float]] = field(default_factory=list)
    private: list[tuple[int, float]] = field(default_factory=list)

    def sample(self) -> None:
        """Take note of what it holds now."""
        pages: dict[str, float] = {}
        for line in Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines()[1:]:
            name, kilobytes = line.split()[:2]
            pages[name] = float(kilobytes) / 1024
        own = pages["Private_Clean:"] + pages["Private_Dirty:"]
        self.rss.append((self.answered, pages["Rss:"]))
        self.private.append((self.answered, own))


@asynccontextmanager
async def strict_backend() -> AsyncIterator[str]:
    """Run what takes conversations as a strict template does, and costs next to nothing."""
    usage: dict[str, Any] = {"prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 16}
    head: dict[str, Any] = {"id": "chatcmpl-0", "created": 0, "model": GROUP}
    words = ANSWER.split(" ")
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": f"{word} "} for word in words]
    chunks: list[dict[str, Any]] = [
        {"index": 0, "delta": delta, "finish_reason": None} for delta in deltas
    ]
    chunks.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    events = [{**head, "object": "chat.completion.chunk", "choices": [chunk]} for chunk in chunks]
    stream = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    message = {"role": "assistant", "content": ANSWER}
    whole: dict[str, Any] = {
        **head,
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": usage,
    }
    refusal = {"error": {"message": "Conversation roles must alternate", "code": 400}}

    async def answer(request: web.Request) -> web.Response:
        asked = await request.json()
        roles = [message["role"] for message in asked["messages"]]
        turns = roles[1:] if roles[0] == "system" else roles
        if turns != [("user", "assistant")[at % 2] for at in range(len(turns))]:
            return web.json_response(refusal, status=400)
        if asked.get("stream"):
            return web.Response(text=stream, content_type="text/event-stream")
        return web.json_response(whole)

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=60)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        await runner.cleanup()


def conversations(requests: int) -> Iterator[tuple[list[Any], Sequence[Any], bool]]:
    """Give each conversation as the client has it and as a strict template takes it.

    The third is whether its answer is to be streamed.
    """
    profile = TemplateProfile.learn(ChatTemplate.from_path(STRICT))
    draw = random.Random(0)
    for number in range(requests):
        broken = BROKEN[number // 2 % len(BROKEN)] if number % 2 else None
        *_, messages = talk(str(number), draw.randint(*TURNS), chars=CHARS, broken=broken)
        yield messages, repair(messages, profile).messages, draw.random() < STREAMED


@contextmanager
def proxies(backend: str, folder: Path) -> Iterator[dict[str, tuple[str, ResponseStore]]]:
    """Run a proxy without the guard and one with it; give their addresses."""
    params = {"model": f"hosted_vllm/{GROUP}", "api_base": backend, "api_key": "none"}
    info = {"role_guard": {"chat_template": str(STRICT)}}
    entry = {"model_name": GROUP, "litellm_params": params, "model_info": info}
    callbacks = {"callbacks": ["litellm_role_guard.role_guard"]}
    with ExitStack() as stack:
        started = []
        for name in (WITHOUT, WITH):
            home = folder / name
            home.mkdir()
            config: dict[str, Any] = {"model_list": [entry]}
            if name == WITH:
                config["litellm_settings"] = callbacks
            port, log = free_port(), home / "proxy.log"
            environment = {"AIOHTTP_KEEPALIVE_TIMEOUT": str(KEEPALIVE_SECONDS)}
            process = launch_proxy(write_config(config, home), port, log, environment)
            started.append((name, process, f"http://127.0.0.1:{port}", log))
        yield {
            name: (
                stack.enter_context(running(process, url, "/health/liveliness", log)),
                ResponseStore(process.pid),
            )
            for name, process, url, log in started
        }


async def feed(
    session: aiohttp.ClientSession, url: str, memory: ResponseStore, requests: int, *, guarded: bool
) -> None:
    """Send all conversations to one proxy.

    Args:
        session: The client's connections.
        url: The proxy's address.
        memory: Where to take note.
        requests: How many there are.
        guarded: Whether it gets them as clients have them.

    Raises:
        RuntimeError: One was not answered, which would make all figures worthless.
    """
    waiting = conversations(requests)

    async def send(messages: Sequence[Any], stream: bool) -> None:
        body = {"model": GROUP, "messages": messages, "stream": stream, "max_tokens": 16}
        async with session.post(f"{url}/v1/chat/completions", json=body) as reply:
            told = await reply.text()
        if reply.status != 200 or not (told.endswith("[DONE]\n\n") if stream else ANSWER in told):
            raise RuntimeError(f"not answered: {reply.status}: {told[-300:]}")
        memory.answered += 1
        memory.repaired += "x-role-guard" in reply.headers
        if memory.answered % (requests // SAMPLES) == 0:
            memory.sample()

    async def work() -> None:
        for as_client, as_taken, stream in waiting:
            await send(as_client if guarded else as_taken, stream)

    memory.sample()
    await asyncio.gather(*(work() for _ in range(CONCURRENCY)))


async def measure(folder: Path, requests: int) -> tuple[dict[str, ResponseStore], float]:
    """Feed both proxies at once; give what each held, and how many seconds it took."""
    async with strict_backend() as backend, client(2 * CONCURRENCY, PATIENCE_SECONDS) as session:
        with proxies(backend, folder) as started:
            memories = {name: memory for name, (_, memory) in started.items()}
            began = time.monotonic()
            tasks = [
                asyncio.ensure_future(feed(session, url, memory, requests, guarded=name == WITH))
                for name, (url, memory) in started.items()
            ]
            telling = asyncio.ensure_future(_tell(memories))
            try:
                await asyncio.gather(*tasks)
            finally:
                for task in (*tasks, telling):
                    task.cancel()
            return memories, time.monotonic() - began


async def _tell(memories: dict[str, ResponseStore]) -> None:
    began = time.monotonic()
    while True:
        await asyncio.sleep(15)
        told = [
            f"{name}: {memory.answered} ({memory.rss[-1][1]:.0f} MB)"
            for name, memory in memories.items()
        ]
        print(f"{time.monotonic() - began:.0f} s:", "; ".join(told), flush=True)


def report(memories: dict[str, ResponseStore], seconds: float, requests: int) -> str:
    """Write it down."""
    without, guarded = memories[WITHOUT], memories[WITH]
    rows = []
    for at, (count, rss) in enumerate(without.rss):
        cells = [rss, without.private[at][1], guarded.rss[at][1], guarded.private[at][1]]
        difference = guarded.private[at][1] - without.private[at][1]
        rows.append((count, *(f"{cell:.0f}" for cell in cells), f"{difference:+.0f}"))
    head = ["requests"]
    head += [f"{name}: {kind}" for name in memories for kind in ("resident", "its own")]
    growth = {
        name: memory.private[-1][1] - memory.private[1][1] for name, memory in memories.items()
    }
    first, last = without.private[1][0], without.private[-1][0]
    grown = ", ".join(f"{mb:+.0f} MB {name}" for name, mb in growth.items())
    summary = (
        f"From {first:,} to {last:,} requests a proxy's own memory grows by {grown}; "
        f"at the end, the one with the guard holds "
        f"{guarded.private[-1][1] - without.private[-1][1]:+.0f} MB "
        f"(at the start {guarded.private[0][1] - without.private[0][1]:+.0f} MB). "
        f"{guarded.repaired:,} of its {guarded.answered:,} requests were repaired. "
        f"{2 * requests / seconds:.0f} requests a second at both together, "
        f"{CONCURRENCY} at a time at each."
    )
    drawn = plot.lines(
        "proxy-memory",
        {name: memory.private for name, memory in memories.items()},
        x="requests",
        y="memory of its own, MB",
    )
    versions = machine("litellm", "litellm-role-guard")
    return "\n\n".join([summary, table([*head, "difference, MB"], rows), drawn, versions])


def main() -> None:
    """Measure, print, and put the figures into docs/benchmarks.md."""
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else REQUESTS
    print(f"{requests} requests to each of two proxies, some five minutes ...", flush=True)
    with TemporaryDirectory() as folder:
        memories, seconds = asyncio.run(measure(Path(folder), requests))
    text = report(memories, seconds, requests)
    print(text)
    write("proxy_memory", text, BENCHMARKS)


if __name__ == "__main__":
    main()
