"""What a backend that means harm costs a proxy with the guard, and one without.

    python -m benchmarks.hostile          prints a row for each kind of harm (four minutes)
    python -m benchmarks.hostile flood    only of the kinds whose name has this in it

Each kind is a group of its own with two deployments, routed by prefix, so that learning, the retry
of a refusal and `/metrics` all meet the harm. While its requests run, the proxy is asked for its
health without a pause: the longest of these answers is how long its event loop stood still.
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

from testing.hostile_backend import KINDS, MODEL
from testing.load import client
from testing.processes import free_port, launch, launch_proxy, running
from testing.proxied import RUN
from testing.proxies import write_config

WITHOUT, WITH = "without", "with"
SECONDS = 12.0
"""How long a kind is watched: longer than a template may take in its process."""

PAUSE_SECONDS = 0.4
"""From one pair of requests to the next."""

PATIENCE_SECONDS = 60.0


class Cost(NamedTuple):
    """What a kind of harm cost one proxy.

    Attributes:
        statuses: Of the conversations that the backend takes, and of those that it refuses.
        grown: By how many MB its memory grew at most.
        child: How many MB a process that it has started held at most.
        stall: The longest answer to a look at its health, in seconds.
    """

    statuses: tuple[Counter[int], Counter[int]]
    grown: float
    child: float
    stall: float


class Watched:
    """A proxy process.

    Args:
        url: Its address.
        pid: Its process.
    """

    def __init__(self, url: str, pid: int) -> None:
        self.url = url
        self._pid = pid

    async def cost(self, session: aiohttp.ClientSession, kind: str) -> Cost:
        """Send sound and broken conversations to a kind of backend, and see what it costs."""
        self._forget_peak()
        before = megabytes(self._pid, "VmRSS")
        ends = time.monotonic() + SECONDS
        health = asyncio.ensure_future(self._health(session, ends))
        children = asyncio.ensure_future(self._children(ends))
        sound, broken, sent = Counter[int](), Counter[int](), []
        while time.monotonic() < ends:
            for messages, statuses in ((RUN[:3], sound), (RUN, broken)):
                sent.append(asyncio.ensure_future(self._send(session, kind, messages, statuses)))
            await asyncio.sleep(PAUSE_SECONDS)
        await asyncio.gather(*sent)
        grown = megabytes(self._pid, "VmHWM") - before
        return Cost((sound, broken), grown, await children, await health)

    async def _send(
        self,
        session: aiohttp.ClientSession,
        kind: str,
        messages: list[dict[str, Any]],
        statuses: Counter[int],
    ) -> None:
        body = {"model": kind, "messages": messages, "max_tokens": 8}
        async with session.post(f"{self.url}/v1/chat/completions", json=body) as answer:
            await answer.read()
        statuses[answer.status] += 1

    async def _health(self, session: aiohttp.ClientSession, ends: float) -> float:
        longest = 0.0
        while time.monotonic() < ends:
            began = time.monotonic()
            async with session.get(f"{self.url}/health/liveliness") as answer:
                await answer.read()
            longest = max(longest, time.monotonic() - began)
            await asyncio.sleep(0.005)
        return longest

    async def _children(self, ends: float) -> float:
        most = 0.0
        while time.monotonic() < ends:
            listed = Path(f"/proc/{self._pid}/task").glob("*/children")
            for child in " ".join(path.read_text() for path in listed).split():
                most = max(most, megabytes(int(child), "VmHWM"))
            await asyncio.sleep(0.1)
        return most

    def _forget_peak(self) -> None:
        Path(f"/proc/{self._pid}/clear_refs").write_text("5")


def megabytes(pid: int | str, name: str) -> float:
    """Return a figure of a process's memory, `VmRSS` or `VmHWM`; 0 where it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return 0.0  # it has ended
    found = re.search(rf"{name}:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0


@contextmanager
def _proxies(backend: str, kinds: list[str], folder: Path) -> Iterator[Mapping[str, Watched]]:
    """Run a proxy without the guard and one with it."""
    models = [
        {
            "model_name": kind,
            "litellm_params": {
                "model": f"hosted_vllm/{MODEL}",
                "api_base": f"{backend}/{kind}/{at}/v1",
                "api_key": "none",
            },
            "model_info": {"role_guard": {"routing": "prefix_affinity"}},
        }
        for kind in kinds
        for at in "ab"
    ]
    with ExitStack() as stack:
        watched = {}
        for name in (WITHOUT, WITH):
            home = folder / name
            home.mkdir()
            config: dict[str, Any] = {
                "model_list": models,
                "router_settings": {"num_retries": 0, "disable_cooldowns": True},
            }
            if name == WITH:
                config["litellm_settings"] = {"callbacks": ["litellm_role_guard.role_guard"]}
            port, log = free_port(), home / "proxy.log"
            process = launch_proxy(write_config(config, home), port, log)
            url = stack.enter_context(
                running(process, f"http://127.0.0.1:{port}", "/health/liveliness", log)
            )
            watched[name] = Watched(url, process.pid)
        yield watched


def _said(statuses: Counter[int]) -> str:
    return ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items()))


async def _main(folder: Path) -> None:
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    kinds = [kind for kind in KINDS if wanted in kind]
    port, log = free_port(), folder / "backend.log"
    command = [sys.executable, "-m", "testing.hostile_backend", str(port)]
    process = launch(command, folder, log)
    print("kind       proxy     sound            refused          grown MB  child MB  stall s")
    with running(process, f"http://127.0.0.1:{port}", "/health", log) as backend:
        with _proxies(backend, kinds, folder) as proxies:
            async with client(100, PATIENCE_SECONDS) as session:
                for kind in kinds:
                    for name, proxy in proxies.items():
                        cost = await proxy.cost(session, kind)
                        sound, broken = map(_said, cost.statuses)
                        print(
                            f"{kind:10} {name:8}  {sound:15}  {broken:15}  {cost.grown:8.0f}"
                            f"  {cost.child:8.0f}  {cost.stall:7.3f}",
                            flush=True,
                        )
                async with session.get(f"{backend}/thief?tell") as answer:
                    print("redirects that were followed:", await answer.text())
        said = (folder / WITH / "proxy.log").read_text()
    print("failures of the guard's own:", said.count("role guard failed"))
    print("tracebacks:", said.count("Traceback (most recent call last)"))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as home:
        asyncio.run(_main(Path(home)))
