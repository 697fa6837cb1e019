"""Requests to a proxy whose guard is switched in and out, with the time that each took."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import random
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from litellm_role_guard.observability.report import HEADER
from testing.load import client
from testing.talks import BROKEN, talk

from .sampled_proxy import SIGNAL as SAMPLE
from .sampled_proxy import Samples
from .switched_proxy import IN
from .switched_proxy import SIGNAL as SWITCH

GROUP = "gemma3"
TURNS = 8


"""How many turns a conversation has: 15 messages, give or take the one that is amiss."""
CONVERSATIONS = 60
PATIENCE_SECONDS = 120.0
LOOKING_SECONDS = 0.004
IDLE_SECONDS = 0.0001


"""A proxy that took less processor time between two looks has nothing to do."""
LISTED_FUNCTIONS = 6
GUARDED = {"litellm_settings": {"callbacks": ["litellm_role_guard.role_guard"]}}


@dataclass(frozen=True)
class Leg:
    """What is compared.

    Attributes:
        name: What the page calls it.
        guarded: Whether the guard is in.
        broken: Whether the conversations are.
    """

    name: str
    guarded: bool
    broken: bool


BASE = Leg("without the guard", guarded=False, broken=False)
AGAIN = Leg("without it, again", guarded=False, broken=False)


"""How far the machine alone sets two measurements apart."""
CLEAN = Leg("with it, clean", guarded=True, broken=False)
MENDED = Leg("with it, broken", guarded=True, broken=True)
LEGS = (BASE, AGAIN, CLEAN, MENDED)
SHOWN = (BASE, CLEAN, MENDED)


@dataclass(frozen=True)
class Load:
    """How the requests come.

    Attributes:
        concurrency: How many at a time.
        requests: How many in one turn.
        rounds: How many turns each leg has.
        stream: Whether the answers are streamed.
    """

    concurrency: int
    requests: int
    rounds: int
    stream: bool = False

    @property
    def name(self) -> str:
        """What the page calls it."""
        return f"{self.concurrency}, streamed" if self.stream else str(self.concurrency)


# Short turns, many: the speed of a rented machine changes by the second.
LOADS = (
    Load(1, 1, 320),
    Load(10, 20, 32),
    Load(50, 50, 12),
    Load(200, 200, 5),
    Load(50, 50, 5, stream=True),
)
WARM_UP = (Load(10, 150, 1), Load(10, 50, 1, stream=True))
SAMPLED_LOAD = Load(50, 800, 1)


@dataclass(frozen=True)
class Turn:
    """What came of one leg's turn under one load.

    Attributes:
        rate: Requests a second.
        latencies: Of each request, in seconds.
        processor: Seconds of processor time that the proxy's process took for one request.
    """

    rate: float
    latencies: Sequence[float]
    processor: float


Measured = dict[tuple[Load, Leg], list[Turn]]


class Proxy:
    """A proxy's process.

    Args:
        url: Its address.
        process: The process.
        file: What it writes to when it was signalled.
    """

    def __init__(self, url: str, process: subprocess.Popen[bytes], file: Path) -> None:
        self.url = url
        self.process = process
        self._file = file
        clock = ctypes.c_int()
        # Far finer than the ticks of /proc/PID/stat.
        error = ctypes.CDLL(None).clock_getcpuclockid(process.pid, ctypes.byref(clock))
        if error:
            raise OSError(error, os.strerror(error))
        self._clock = clock.value

    def processor(self) -> float:
        """Give the seconds of processor time that the process has taken so far."""
        return time.clock_gettime(self._clock)

    async def rest(self) -> float:
        """Wait until it has nothing to do any more, and give `processor()`.

        LiteLLM logs in the background after an answer, which is work for the request, too.
        """
        before = self.processor()
        while True:
            await asyncio.sleep(LOOKING_SECONDS)
            now = self.processor()
            if now - before < IDLE_SECONDS:
                return now
            before = now

    async def signal(self, number: int) -> str:
        """Signal it, and give what it writes thereupon."""
        self._file.unlink(missing_ok=True)
        self.process.send_signal(number)
        while not self._file.exists():
            await asyncio.sleep(LOOKING_SECONDS)
        return self._file.read_text()


def bodies(*, broken: bool, stream: bool) -> list[bytes]:
    """Give the bodies of requests, the same in every run."""
    said = []
    for number in range(CONVERSATIONS):
        amiss = BROKEN[number % len(BROKEN)] if broken else None
        *_, messages = talk(str(number), TURNS, broken=amiss)
        body = {"model": GROUP, "messages": messages, "max_tokens": 16, "stream": stream}
        said.append(json.dumps(body).encode())
    return said


async def send(proxy: Proxy, leg: Leg, load: Load, first: int = 0) -> Turn:
    """Put a load on a proxy, over connections of its own: idle ones are closed by the proxy.

    Args:
        proxy: The proxy.
        leg: What is to be measured.
        load: The load.
        first: Which of the conversations begins.

    Raises:
        RuntimeError: A request was not answered, or not repaired where it had to be, or was where
            it had not.
    """
    url = f"{proxy.url}/v1/chat/completions"
    given = bodies(broken=leg.broken, stream=load.stream)
    headers = {"Content-Type": "application/json"}
    latencies: list[float] = []
    numbers = iter(range(first, first + load.requests))

    async def one_after_another(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            began = time.perf_counter()
            body = given[number % len(given)]
            async with session.post(url, data=body, headers=headers) as reply:
                told = await reply.read()
            latencies.append(time.perf_counter() - began)
            whole = told.rstrip().endswith(b"data: [DONE]") or not load.stream
            repaired = HEADER in reply.headers
            if reply.status != 200 or not whole or repaired != leg.broken:
                raise RuntimeError(f"{leg}: {reply.status} {repaired=}: {told[-500:]!r}")

    async with client(load.concurrency, PATIENCE_SECONDS) as session:
        before, began = await proxy.rest(), time.perf_counter()
        await asyncio.gather(*(one_after_another(session) for _ in range(load.concurrency)))
        seconds = time.perf_counter() - began
        taken = await proxy.rest() - before
    return Turn(load.requests / seconds, latencies, taken / load.requests)


async def measure(proxy: Proxy) -> Measured:
    """Measure the legs in turns, one at a time, the guard taken out and put back between them."""
    order = random.Random(0)
    measured: Measured = {(load, leg): [] for load in LOADS for leg in LEGS}
    for load in WARM_UP:
        await send(proxy, MENDED, load)
    guarded = True
    rounds = sorted(
        ((number + 0.5) / load.rounds, load.requests, load.stream, number, load)
        for load in LOADS
        for number in range(load.rounds)
    )
    for done, (*_, number, load) in enumerate(rounds):
        for leg in order.sample(LEGS, len(LEGS)):
            if leg.guarded != guarded:
                guarded = await proxy.signal(SWITCH) == IN
            measured[load, leg].append(await send(proxy, leg, load, number * load.requests))
        if done % 50 == 0:
            print(f"{done} of {len(rounds)} rounds", flush=True)
    return measured


async def sample(proxy: Proxy) -> dict[Leg, Samples]:
    """Give what a proxy does under load, on clean and on broken conversations."""
    seen = {}
    for leg in (CLEAN, MENDED):
        await send(proxy, leg, WARM_UP[0])
        proxy.process.send_signal(SAMPLE)
        await send(proxy, leg, SAMPLED_LOAD)
        seen[leg] = json.loads(await proxy.signal(SAMPLE))
        print(f"sampled: {leg.name}", flush=True)
    return seen
