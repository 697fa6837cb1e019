"""Many requests at a time through a proxy with two workers to four simulated backends."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .fleet import deployments
from .load import Request, client
from .processes import START_SECONDS, free_port, launch, running, simulator
from .proxies import write_config
from .templates import STRICT

BACKENDS = 4
WORKERS = 2
SAMPLES = 10
PATIENCE_SECONDS = 300.0


"""How long a client waits for its answer."""

TELLING_SECONDS = 3.0
"""A worker tells every second, a busy one later."""

LETTING_GO_SECONDS = 60.0
SETTLING_SECONDS = 5.0


"""From a worker's config being read to its listening."""

KEEPALIVE_SECONDS = 2


"""For how long LiteLLM keeps a connection for the next request. vLLM, and the simulator, close one
after 5 s; LiteLLM's 120 would have it send into closed ones, and then break off streamed answers
(docs/fleet.md)."""


GUARD = Path(__file__).with_name("timed_guard.py")


@dataclass
class Soak:
    """What came of it.

    Attributes:
        outcomes: What became of the requests.
        seconds: How long it took.
        samples: After so many requests, what each worker held.
        workers: What each worker told at the end.
        failures: What came back in place of an answer.
        load: The machine's load average of the last minute, before and after.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    samples: list[tuple[int, list[dict[str, Any]]]] = field(default_factory=list)
    workers: list[dict[str, Any]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    load: tuple[float, float] = 0.0, 0.0

    @property
    def longest(self) -> dict[str, dict[str, float]]:
        """For how long the guard held an event loop at most, by what it did, of all workers."""
        names = {name for worker in self.workers for name in worker["longest"]}
        longest = {}
        for name in sorted(names):
            each = [worker["longest"].get(name, {}) for worker in self.workers]
            longest[name] = {
                "cpu_ms": max(times.get("cpu_ms", 0.0) for times in each),
                "wall_ms": max(times.get("wall_ms", 0.0) for times in each),
                "count": sum(times.get("count", 0) for times in each),
            }
        return longest


@contextmanager
def workers(config: dict[str, Any], folder: Path, count: int) -> Iterator[str]:
    """Run a proxy with several worker processes and the timed guard; give its address."""
    shutil.copy(GUARD, folder)
    port, log = free_port(), folder / "proxy.log"
    main = "from litellm import run_server; run_server()"
    arguments = ["--config", str(write_config(config, folder)), "--host", "127.0.0.1"]
    arguments += ["--port", str(port), "--num_workers", str(count)]
    # uvicorn ends a worker that does not answer its supervisor within 5 s, which all of these
    # processes on two cores may make it wait.
    arguments += ["--timeout_worker_healthcheck", "60"]
    environment = {
        "AIOHTTP_KEEPALIVE_TIMEOUT": str(KEEPALIVE_SECONDS),
        "XDG_CACHE_HOME": str(folder / "cache"),
    }
    process = launch([sys.executable, "-c", main, *arguments], folder, log, environment)
    with running(process, f"http://127.0.0.1:{port}", "/health/liveliness", log) as url:
        deadline = time.monotonic() + START_SECONDS
        while len(told(folder)) < count and time.monotonic() < deadline:
            time.sleep(0.2)  # one worker is up, and gives no event when the others are
        time.sleep(SETTLING_SECONDS)
        yield url


def told(folder: Path) -> list[dict[str, Any]]:
    """Give what each worker has written last."""
    return [json.loads(file.read_text()) for file in sorted(folder.glob("timed-*.json"))]


async def soak(url: str, folder: Path, requests: int, concurrency: int) -> Soak:
    """Send the requests.

    Args:
        url: The proxy's address.
        folder: Where its workers write.
        requests: How many.
        concurrency: How many at a time.
    """
    result = Soak()
    draw = random.Random(0)
    numbers = iter(range(requests))
    began, load = time.monotonic(), os.getloadavg()[0]
    async with client(concurrency, PATIENCE_SECONDS) as session:

        async def send() -> None:
            for number in numbers:
                group = "told" if number % 2 else "untold"
                request = Request(number, draw, group)
                outcome = await request.send(session, url)
                result.outcomes[outcome] += 1
                if outcome != "answered":
                    result.failures.append(f"{outcome}: {request.path}: {request.told}")
                if sum(result.outcomes.values()) % (requests // SAMPLES) == 0:
                    result.samples.append((sum(result.outcomes.values()), told(folder)))
                    held = [round(worker["mb"]) for worker in told(folder)]
                    print(f"{time.monotonic() - began:.0f} s:", *result.outcomes.items(), held)

        await asyncio.gather(*(send() for _ in range(concurrency)))
    result.seconds = time.monotonic() - began
    result.load = load, os.getloadavg()[0]
    result.workers = await _let_go(folder)
    return result


async def _let_go(folder: Path) -> list[dict[str, Any]]:
    """Give what the workers tell once nothing is in flight, or after a while what is left."""
    deadline = time.monotonic() + LETTING_GO_SECONDS
    await asyncio.sleep(TELLING_SECONDS)  # what stands there now may be older than the last answer
    while any(worker["in_flight"] for worker in told(folder)) and time.monotonic() < deadline:
        await asyncio.sleep(TELLING_SECONDS)
    return told(folder)


def run(folder: Path, requests: int, concurrency: int) -> Soak:
    """Start all there is to it, and send the requests."""
    with ExitStack() as stack:
        backends = [stack.enter_context(simulator(folder)) for _ in range(BACKENDS)]
        settings: dict[str, Any] = {"routing": "prefix_affinity"}
        config = {
            "model_list": [
                *deployments("told", backends, chat_template=str(STRICT), **settings),
                *deployments("untold", backends, **settings),
            ],
            "litellm_settings": {"callbacks": ["timed_guard.role_guard"]},
        }
        url = stack.enter_context(workers(config, folder, WORKERS))
        return asyncio.run(soak(url, folder, requests, concurrency))
