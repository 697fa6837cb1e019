"""Backends killed, hung, cut, failing and replaced at random, under load.

Four simulated backends, each with faults of its own at times that the seed draws: `kill` ends its
process and starts it again, `swap` starts it again with another chat template at the same address,
`hang`, `cut` and `error` are the simulator's own. One backend is always left alone.
"""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import httpx

from .fleet import deployments
from .load import ENDPOINTS, Request, client
from .processes import free_port, launch
from .proxies import start_proxy
from .templates import STRICT, TEMPLATES

BACKENDS = 4
FAULTS = ("kill", "swap", "hang", "cut", "error")
FAULT_SECONDS = (1.0, 4.0)
PAUSE_SECONDS = (0.5, 3.0)
CLIENT_SECONDS = 60.0
AFTER = 200


"""Requests after the last fault, each of which is to be answered."""

SERVED = [
    STRICT,
    *(TEMPLATES / f"{name}.jinja" for name in ("alternating", "no_system", "system_first")),
]
ROUTER = {
    "num_retries": 3,
    "retry_after": 0,
    "timeout": 8,
    "stream_timeout": 8,
    "cooldown_time": 2,
}


class Event(NamedTuple):
    """One fault of one backend.

    Attributes:
        at: When it begins, in seconds from the start.
        backend: Whose it is.
        fault: One of `FAULTS`.
        seconds: How long it lasts.
        template: What a `swap` brings.
    """

    at: float
    backend: int
    fault: str
    seconds: float
    template: Path


def schedule(seconds: float, seed: int) -> list[Event]:
    """Give the faults of a run; the last backend has none."""
    draw = random.Random(seed)
    events = []
    for backend in range(BACKENDS):
        at = draw.uniform(*PAUSE_SECONDS)
        while True:
            fault = draw.choice(FAULTS) if backend < BACKENDS - 1 else "none"
            lasts = draw.uniform(*FAULT_SECONDS)
            template = draw.choice(SERVED)
            if at + lasts > seconds or fault == "none":
                break
            events.append(Event(at, backend, fault, lasts, template))
            at += lasts + draw.uniform(*PAUSE_SECONDS)
    return sorted(events)


class Backend:
    """A simulated vLLM that can be ended and started again at its address.

    Args:
        folder: Where to put its log.
    """

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, template: Path) -> None:
        """Start it with a template."""
        main = "from litellm_role_guard.cli import main; main()"
        command = [sys.executable, "-c", main, "simulate", "--port", str(self.port)]
        command += ["--chat-template", str(template), "--latency", "0.05"]
        self._process = launch(command, self._folder, self._folder / f"backend-{self.port}.log")

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    async def ready(self) -> None:
        """Wait until it answers."""
        async with httpx.AsyncClient(timeout=2) as asking:
            for _ in range(600):
                try:
                    if (await asking.get(f"{self.url}/health")).status_code == 200:
                        return
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.1)  # a process that starts gives no event to wait for
        raise RuntimeError(f"not up: {self.url}")

    async def fail(self, fault: str | None) -> None:
        """Put one of the simulator's faults in force at the model's endpoints."""
        body = {"fault": fault, "paths": list(ENDPOINTS.values())}
        async with httpx.AsyncClient(timeout=10) as asking:
            (await asking.post(f"{self.url}/control", json=body)).raise_for_status()


@contextmanager
def backends(folder: Path) -> Iterator[list[Backend]]:
    """Run the backends until the block is left."""
    running = [Backend(folder) for _ in range(BACKENDS)]
    try:
        for backend in running:
            backend.start(SERVED[0])
        yield running
    finally:
        for backend in running:
            backend.kill()


@dataclass
class Chaos:
    """What came of one run.

    Attributes:
        sound: What became of requests with a conversation that strict templates take.
        broken: What became of the others.
        after: What became of the requests after the last fault.
        faults: How many of each there were.
        guard_failures: How often the guard's log tells of an error of its own.
    """

    sound: Counter[str] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    after: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    guard_failures: int = 0

    @property
    def answered(self) -> int:
        """How many requests were answered amid the faults."""
        return self.sound["answered"] + self.broken["answered"]

    @property
    def answered_share(self) -> float:
        """How many of the requests amid the faults were answered; no matter how fast they went."""
        return self.answered / max(1, self.sound.total() + self.broken.total())

    @property
    def refused(self) -> int:
        """How many requests a template's refusal came back for, at any time."""
        return sum(each["refused"] for each in (self.sound, self.broken, self.after))


async def _suffer(event: Event, backend: Backend, began: float) -> None:
    await asyncio.sleep(max(0.0, began + event.at - time.monotonic()))
    if event.fault in ("kill", "swap"):
        backend.kill()
        await asyncio.sleep(event.seconds if event.fault == "kill" else 0)
        backend.start(event.template)
        await backend.ready()
    else:
        await backend.fail(event.fault)
        await asyncio.sleep(event.seconds)
        await backend.fail(None)


async def _suffer_all(events: Sequence[Event], backend: Backend, began: float) -> None:
    for event in events:
        await _suffer(event, backend, began)


async def endure(
    url: str, fleet: Sequence[Backend], seconds: float, concurrency: int, seed: int, *, sound: bool
) -> Chaos:
    """Send requests while the backends fail, and some more afterwards.

    Args:
        url: The proxy's address.
        fleet: The backends.
        seconds: How long the faults last.
        concurrency: How many requests there are at a time.
        seed: What the faults and the requests are drawn with.
        sound: Whether those afterwards are to be sound conversations only.
    """
    result = Chaos()
    for backend in fleet:
        await backend.ready()
    draw = random.Random(seed)
    events = schedule(seconds, seed)
    result.faults.update(event.fault for event in events)
    async with client(concurrency, CLIENT_SECONDS) as session:
        began = time.monotonic()
        suffering = [
            asyncio.ensure_future(
                _suffer_all([e for e in events if e.backend == at], backend, began)
            )
            for at, backend in enumerate(fleet)
        ]

        async def keep_asking(session: aiohttp.ClientSession) -> None:
            while time.monotonic() - began < seconds or not all(map(_is_done, suffering)):
                request = Request(draw.getrandbits(48), draw, "fleet")
                kept = result.broken if request.broken else result.sound
                kept[await request.send(session, url)] += 1

        await asyncio.gather(*(keep_asking(session) for _ in range(concurrency)))
        await asyncio.gather(*suffering)

        left = iter(range(AFTER))

        async def ask_on() -> None:
            for _ in left:
                request = Request(draw.getrandbits(48), draw, "fleet")
                while sound and request.broken:
                    request = Request(draw.getrandbits(48), draw, "fleet")
                result.after[await request.send(session, url)] += 1

        await asyncio.gather(*(ask_on() for _ in range(min(concurrency, AFTER))))
    return result


def _is_done(task: asyncio.Future[Any]) -> bool:
    return task.done()


def run(folder: Path, seconds: float, concurrency: int, seed: int, *, guarded: bool) -> Chaos:
    """Start all there is to it, and see what becomes of the requests."""
    with ExitStack() as stack:
        fleet = stack.enter_context(backends(folder))
        settings = {"routing": "prefix_affinity"} if guarded else {}
        urls = [backend.url for backend in fleet]
        config: dict[str, Any] = {
            "model_list": deployments("fleet", urls, **settings),
            "router_settings": ROUTER,
        }
        if guarded:
            config["litellm_settings"] = {"callbacks": ["litellm_role_guard.role_guard"]}
        url = stack.enter_context(start_proxy(config, folder))
        result = asyncio.run(endure(url, fleet, seconds, concurrency, seed, sound=not guarded))
        result.guard_failures = (folder / "proxy.log").read_text().count("role guard failed")
    return result
