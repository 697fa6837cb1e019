"""Where a fleet's prompt tokens go in a chat with the real Claude Code, on real vLLM servers.

    python -m benchmarks.claude_code_cache    writes its part of docs/fleet.md (5 minutes)

Claude Code begins its system text with a billing line. To Anthropic's own address it writes a new
value (`cch`) into that of each request, to another one it leaves it out; so a proxy in front puts
it in. The chat is held through a proxy with `routing: prefix_affinity`, and then sent again to
empty caches: as it was, with the line as the program writes it, and without. Needs
`make test-agents` and `make test-vllm` once, which install what runs here.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from litellm_role_guard.repair.billing_line import PREFIX, without_line
from testing.agents.claude_code import ClaudeCode
from testing.agents.place import Place
from testing.agents.program import version_of
from testing.agents.recorder import Exchange, recording
from testing.fleet import metrics
from testing.proxies import MASTER_KEY, start_proxy
from testing.real_templates import GEMMA_3
from testing.vllm import MODEL, gemma, serving

from .page import machine, table, write
from .prefix_cache import BLOCK

SERVERS = 3
TURNS = 8
TARGET = 0.99

# Claude Code's instructions are long, and the tiny model's tokens are bytes. With sliding windows,
# what is found in the cache would depend on the window, too.
CONTEXT = 131072
_MODEL = {"layer_types": ["full_attention"] * 2, "max_position_embeddings": CONTEXT}
OPTIONS = (
    *("--enable-prompt-tokens-details", "--block-size", str(BLOCK)),
    *("--hf-overrides", json.dumps(_MODEL), "--max-model-len", str(CONTEXT)),
    # It sends its tools to a server that takes them, and is answered with noise that has an end.
    *("--enable-auto-tool-choice", "--tool-call-parser", "pythonic"),
    *("--override-generation-config", json.dumps({"max_new_tokens": 16})),
)


@dataclass
class Cost:
    """What a chat has cost the servers.

    Attributes:
        name: Which chat.
        requests: How many requests were answered, by server.
        prompt: Their prompt tokens.
        cached: How many of these were found in a prefix cache.
        routed: What the guard's header said of each.
    """

    name: str
    requests: list[int]
    prompt: int
    cached: int
    routed: list[str]

    @property
    def share(self) -> float:
        """The share of the prompt tokens that were found."""
        return self.cached / max(1, self.prompt)


@contextmanager
def fleet(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Run the servers and a proxy in front of them; give their addresses."""
    assert GEMMA_3 is not None, "no templates; `make test-vllm` fetches them"
    with ExitStack() as stack:
        servers = []
        for number in range(SERVERS):
            place = folder / f"vllm{number}"
            place.mkdir()
            # Its development mode lets a cache be emptied.
            model = gemma(GEMMA_3, *OPTIONS, VLLM_SERVER_DEV_MODE="1")
            servers.append(stack.enter_context(serving(model, place))[0])
            print(f"server {number + 1} is there", flush=True)
        entries = [
            {
                "model_name": MODEL,
                "litellm_params": {"model": f"hosted_vllm/{MODEL}", "api_base": f"{url}/v1"},
                "model_info": {"role_guard": {"routing": "prefix_affinity", "learn_wait": 60.0}},
            }
            for url in servers
        ]
        callbacks = {"litellm_settings": {"callbacks": ["litellm_role_guard.role_guard"]}}
        url = stack.enter_context(start_proxy({"model_list": entries, **callbacks}, folder))
        yield url, servers


def measure(name: str, servers: Sequence[str], chat: Callable[[], list[str | None]]) -> Cost:
    """Hold a chat on empty caches; give what it has cost.

    Args:
        name: What it is called.
        servers: Their addresses.
        chat: Holds it; gives the guard's header of each answer.
    """
    for url in servers:
        httpx.post(f"{url}/reset_prefix_cache", timeout=60).raise_for_status()
    before = list(map(_metrics, servers))
    said = [header or "" for header in chat()]
    after = list(map(_metrics, servers))

    def grown(metric: str) -> list[int]:
        return [int(new[metric] - old[metric]) for old, new in zip(before, after, strict=True)]

    parts = [part for each in said for part in each.split("; ")]
    cost = Cost(
        name,
        grown("vllm:request_success_total"),
        sum(grown("vllm:prefix_cache_queries_total")),
        sum(grown("vllm:prefix_cache_hits_total")),
        [part.removeprefix("routed=") for part in parts if part.startswith("routed=")],
    )
    print(cost, flush=True)
    return cost


def _metrics(url: str) -> dict[str, float]:
    async def read() -> dict[str, float]:
        async with httpx.AsyncClient(timeout=60) as client:
            return await metrics(client, url)

    return asyncio.run(read())


def system_parts(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the parts of the system text of a request to /v1/messages."""
    system = body.get("system") or []
    return [{"type": "text", "text": system}] if isinstance(system, str) else system


def with_lines(body: Mapping[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    """Return a request with its billing lines changed; without a text of which nothing is left."""
    if not body.get("system"):
        return dict(body)
    parts = [
        {**part, "text": change(part["text"]) if part["text"].startswith(PREFIX) else part["text"]}
        for part in system_parts(body)
    ]
    return {**body, "system": [part for part in parts if part["text"].strip()]}


def with_value(line: str, value: int | None) -> str:
    """Return a billing line with another `cch`, or with none."""
    first, newline, rest = line.partition("\n")
    plain = re.sub(r" cch=[^;]*;", "", first)
    return plain + ("" if value is None else f" cch={value:05x};") + newline + rest


def lines(bodies: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the billing line of each request that has one."""
    texts = [part["text"] for body in bodies for part in system_parts(body)]
    return [text.partition("\n")[0] for text in texts if text.startswith(PREFIX)]


@dataclass
class Chat:
    """The chat that was held with the real program.

    Attributes:
        sent: What was sent to the proxy, each billing line with a new value.
        codes: The program's exit code at each turn.
        ended: How the turns ended that had another one than 0, in the program's words.
    """

    sent: list[Exchange]
    codes: list[int]
    ended: set[str]


def held(url: str, folder: Path, chat: Chat) -> list[str | None]:
    """Hold the chat with the real program; give the guard's headers."""
    values = itertools.count(1)

    def change(body: Mapping[str, Any]) -> dict[str, Any]:
        value = next(values)
        return with_lines(body, lambda line: with_value(line, value))

    with recording(url, change) as recorder:
        short = {"CLAUDE_CODE_MAX_OUTPUT_TOKENS": "64"}
        program = ClaudeCode(Place(recorder.url, MODEL, folder, short))
        for turn in range(TURNS):
            finished = program.ask(f"Question {turn + 1} about the history of the lighthouse.")
            print(f"turn {turn + 1}: exit code {finished.code}", flush=True)
            chat.codes.append(finished.code)
            if finished.code:
                chat.ended.add(f"{finished.shown}{finished.log}".strip()[:200])
        chat.sent = exchanges = recorder.take()
    failed = [each for each in exchanges if each.status != 200]
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(exchanges)}: {failed[0].error[:500]}")
    return [each.changes for each in exchanges]


def sent_again(url: str, bodies: Sequence[Mapping[str, Any]]) -> list[str | None]:
    """Send requests one after the other, each read to its end; give the guard's headers."""
    headers = {"Authorization": f"Bearer {MASTER_KEY}", "anthropic-version": "2023-06-01"}
    said: list[str | None] = []
    with httpx.Client(base_url=url, headers=headers, timeout=300) as client:
        for body in bodies:
            answer = client.post("/v1/messages", json=body)
            if answer.status_code != 200:
                raise RuntimeError(f"{answer.status_code}: {answer.text[:500]}")
            said.append(answer.headers.get("x-role-guard"))
    return said


def main() -> None:
    """Measure, and write the section."""
    chat = Chat([], [], set())
    with TemporaryDirectory() as name:
        folder = Path(name)
        with fleet(folder) as (url, servers):
            real = partial(held, url, folder / "agent", chat)
            costs = [measure("Claude Code itself, a new `cch` in each request", servers, real)]
            bodies = [each.body for each in chat.sent]
            print(f"turns ended with {chat.codes}: {chat.ended}", flush=True)
            own = [with_lines(body, lambda line: with_value(line, None)) for body in bodies]
            plain = [with_lines(body, without_line) for body in bodies]
            for told, again in (
                ("sent again", bodies),
                ("with the line as the program writes it", own),
                ("without the billing line", plain),
            ):
                held_again = partial(sent_again, url, again)
                costs.append(measure(f"its requests, {told}", servers, held_again))
    limit = costs[-1].share
    rows = [
        (
            cost.name,
            " + ".join(map(str, sorted(cost.requests, reverse=True))),
            ", ".join(f"{kind} {cost.routed.count(kind)}" for kind in sorted(set(cost.routed))),
            f"{cost.prompt:,}",
            f"{cost.share:.4f}",
            f"{cost.share / limit:.4f}",
        )
        for cost in costs
    ]
    head = ("chat", "requests by server", "routed", "prompt tokens", "found", "of the last row")
    met = min(cost.share for cost in costs) >= TARGET * limit
    about = (
        f"Claude Code {version_of('claude-code')}, {TURNS} turns, {SERVERS} real vLLM servers on "
        f"the CPU; {len(bodies)} requests, {len(lines(bodies))} with a billing line, "
        f"{len(set(lines(bodies)))} different ones ({len(set(lines(own)))} without the `cch` that "
        f"was put in). Exit codes of the turns: {', '.join(map(str, chat.codes))}. Target: at "
        f"least {TARGET} of what is found without the line: {'met' if met else '**missed**'}."
    )
    write("claude code", f"{about}\n\n{table(head, rows)}\n\n{machine('litellm')}")


if __name__ == "__main__":
    main()
