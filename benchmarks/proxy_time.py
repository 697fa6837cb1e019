"""A real LiteLLM proxy under load, without the guard and with it, and where its time goes.

python -m benchmarks.proxy_time    writes its part of docs/benchmarks.md (4 minutes)
"""

from __future__ import annotations

import asyncio
import math
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from testing.processes import free_port, launch, running, simulator
from testing.proxies import write_config

from . import plot
from .page import BENCHMARKS, Target, machine, table, targets, write
from .proxy_load import (
    BASE,
    CLEAN,
    GROUP,
    GUARDED,
    LEGS,
    LISTED_FUNCTIONS,
    LOADS,
    SHOWN,
    Leg,
    Load,
    Measured,
    Proxy,
    Turn,
    measure,
    sample,
)
from .sampled_proxy import GUARD, Samples

WANTED = 0.97


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
