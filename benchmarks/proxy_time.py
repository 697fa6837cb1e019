"""A real LiteLLM proxy under load, without the guard and with it, and where its time goes.

python -m benchmarks.proxy_time    writes its part of docs/benchmarks.md (4 minutes)
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import math
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import aiohttp

from demo.processes import free_port, launch, running, simulator
from litellm_role_guard.observability.report import HEADER
from tests.processes import write_config

from . import plot
from .load import client
from .page import BENCHMARKS, Target, machine, table, targets, write
from .sampled_proxy import GUARD, Samples
from .sampled_proxy import SIGNAL as SAMPLE
from .switched_proxy import IN
from .switched_proxy import SIGNAL as SWITCH
from .talks import BROKEN, talk

WANTED = 0.97
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


class Ratio(NamedTuple):
    """A ratio and its standard error."""

    value: float
    error: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ± {self.error:.3f}"


def rate(turn: Turn) -> float:
    """Give the requests a second."""
    return turn.rate


def processor(turn: Turn) -> float:
    """Give the seconds of processor time of a request."""
    return turn.processor


def _ratio(measured: Measured, leg: Leg, what: Callable[[Turn], float], load: Load) -> Ratio:
    """Compare a leg with the unguarded: the median of the rounds, which the odd one cannot move."""
    rounds = zip(measured[load, leg], measured[load, BASE], strict=True)
    ratios = [what(turn) / what(base) for turn, base in rounds]
    low, middle, high = statistics.quantiles(ratios, n=4)
    # Of a median: 1.2533 standard deviations by the root of the number; of a normal one's, between
    # the quartiles lie 1.349.
    return Ratio(middle, 1.2533 * (high - low) / 1.349 / math.sqrt(len(ratios)))


def _overall(measured: Measured, leg: Leg, what: Callable[[Turn], float]) -> Ratio:
    """Put the ratios of all loads together, each weighted by how sure it is."""
    ratios = [_ratio(measured, leg, what, load) for load in LOADS]
    weights = [ratio.error**-2 for ratio in ratios]
    value = sum(ratio.value * weight for ratio, weight in zip(ratios, weights, strict=True))
    return Ratio(value / sum(weights), sum(weights) ** -0.5)


def _least_processor(measured: Measured, leg: Leg) -> float:
    return min(turn.processor for load in LOADS for turn in measured[load, leg])


def _percentile(turns: Sequence[Turn], percent: int) -> float:
    latencies = [latency for turn in turns for latency in turn.latencies]
    return statistics.quantiles(latencies, n=100)[percent - 1]


def report(measured: Measured, seen: Mapping[Leg, Samples]) -> str:
    """Write it down."""
    clean = _overall(measured, CLEAN, rate)
    what = "throughput of a LiteLLM proxy, clean conversations, to that without the guard"
    reached = Target(what, f"at least {WANTED}", str(clean), clean.value >= WANTED)
    return "\n".join(
        [
            targets([reached]),
            "",
            _ratios(measured),
            "",
            _latencies(measured),
            "",
            _plot(measured),
            "",
            _whose(seen),
            "",
            _functions(measured, seen),
            "",
            machine("litellm", "aiohttp", "uvicorn"),
        ]
    )


def _ratios(measured: Measured) -> str:
    compared = [(how, leg) for how in (rate, processor) for leg in LEGS if leg != BASE]
    rows = [
        [load.name, str(load.rounds)]
        + [str(_ratio(measured, leg, how, load)) for how, leg in compared]
        for load in LOADS
    ]
    rows.append(["all", "", *(str(_overall(measured, leg, how)) for how, leg in compared)])
    heads = [f"{what} {leg.name}" for what in ("throughput", "processor time") for leg in LEGS[1:]]
    return table(["concurrent", "rounds", *heads], rows)


def _latencies(measured: Measured) -> str:
    rows = []
    for load in LOADS:
        each = {leg: measured[load, leg] for leg in SHOWN}
        cells = [f"{statistics.median(map(rate, turns)):.0f}" for turns in each.values()]
        cells += [
            f"{_percentile(turns, percent) * 1000:.0f}"
            for percent in (50, 99)
            for turns in each.values()
        ]
        rows.append([load.name, *cells])
    what = ("requests a second", "p50, ms,", "p99, ms,")
    return table(["concurrent", *(f"{each} {leg.name}" for each in what for leg in SHOWN)], rows)


def _plot(measured: Measured) -> str:
    series = {
        leg.name: [
            (load.concurrency, statistics.median(map(rate, measured[load, leg])))
            for load in LOADS
            if not load.stream
        ]
        for leg in SHOWN
    }
    return plot.lines(
        "proxy-time", series, x="concurrent requests", y="requests a second", log_x=True
    )


WHOSE = {
    "LiteLLM": ("litellm", "litellm_enterprise", "litellm_proxy_extras"),
    "pydantic, openai": ("pydantic", "pydantic_core", "openai"),
    "FastAPI, Starlette, uvicorn, the event loop": (
        *("fastapi", "starlette", "uvicorn", "uvloop", "anyio", "h11", "httptools", "event loop"),
    ),
    "the HTTP client: httpx, aiohttp": (
        *("httpx", "httpcore", "aiohttp", "yarl", "multidict", "propcache", "frozenlist"),
    ),
    "the guard": (GUARD,),
}


def _whose(seen: Mapping[Leg, Samples]) -> str:
    rows = []
    rest = dict.fromkeys(seen, 1.0)
    for name, packages in WHOSE.items():
        cells = []
        for leg, samples in seen.items():
            counts = samples["packages"]
            share = sum(counts.get(package, 0) for package in packages) / sum(counts.values())
            rest[leg] -= share
            cells.append(f"{share:.1%}")
        rows.append([name, *cells])
    rows.append(["others", *(f"{share:.1%}" for share in rest.values())])
    return table(["the proxy's time is spent in", *(leg.name for leg in seen)], rows)


def _functions(measured: Measured, seen: Mapping[Leg, Samples]) -> str:
    """Give what each of the guard's functions takes of the least processor time of a request."""
    times: dict[Leg, dict[str, float]] = {}
    for leg, samples in seen.items():
        of_one = _least_processor(measured, leg) * 1e6 / sum(samples["packages"].values())
        times[leg] = {name: count * of_one for name, count in samples["guard"].items()}
    names = sorted(
        {name for each in times.values() for name in each},
        key=lambda name: -sum(each.get(name, 0.0) for each in times.values()),
    )[:LISTED_FUNCTIONS]
    rows = [[f"`{name}`", *(f"{times[leg].get(name, 0.0):.0f}" for leg in seen)] for name in names]
    rows.append(["all of the guard's", *(f"{sum(times[leg].values()):.0f}" for leg in seen)])
    return table(["the guard's functions, us of a request", *(leg.name for leg in seen)], rows)


def run(folder: Path) -> tuple[Measured, dict[Leg, Samples]]:
    """Start all there is to it, and measure.

    Raises:
        RuntimeError: See `send`.
    """
    with ExitStack() as stack:
        backend = stack.enter_context(simulator(folder, model=GROUP))
        params = {"model": f"hosted_vllm/{GROUP}", "api_base": f"{backend}/v1"}
        models = {"model_list": [{"model_name": GROUP, "litellm_params": params}]}
        config = write_config({**models, **GUARDED}, folder)
        starting = []
        for name in ("switched", "sampled"):
            port, log, file = free_port(), folder / f"{name}.log", folder / name
            command = [sys.executable, "-m", f"benchmarks.{name}_proxy", str(file)]
            where = ["--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
            process = launch([*command, *where], folder, log)
            starting.append((process, f"http://127.0.0.1:{port}", file, log))
        proxies = []
        for process, url, file, log in starting:
            up = running(process, url, "/health/liveliness", log)
            proxies.append(Proxy(stack.enter_context(up), process, file))
        switched, sampled = proxies
        print("the proxies are up", flush=True)
        measured = asyncio.run(measure(switched))
        seen = asyncio.run(sample(sampled))
        for *_, log in starting:
            if "role guard failed" in log.read_text():
                raise RuntimeError(f"the guard failed\n{log.read_text()[-4000:]}")
    return measured, seen


def main() -> None:
    """Measure, print, and put the figures into docs/benchmarks.md."""
    with TemporaryDirectory() as folder:
        text = report(*run(Path(folder)))
    print(text)
    write("proxy_time", text, BENCHMARKS)


if __name__ == "__main__":
    main()
