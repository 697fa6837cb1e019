"""How long it takes to learn what a chat template takes, from its file and from a live vLLM.

    python -m benchmarks.learning_time    writes its part of docs/benchmarks.md

The templates are those of the tests: what the trl and axolotl wheels ship, and the project's own.
The live vLLM is one for all, which is given each template with the questions
(`--trust-request-chat-template`).
"""

from __future__ import annotations

import asyncio
import multiprocessing
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, NamedTuple

import httpx

from litellm_role_guard import ChatTemplate, TemplateProfile
from litellm_role_guard.backend.backend import Backend
from litellm_role_guard.probing.evidence import ProbeRecorder
from litellm_role_guard.probing.live import learn_from_backend
from testing.processes import REPOSITORY
from testing.real_templates import GEMMA_3, REAL, name
from testing.vllm import MODEL, serving_with

from . import plot
from .page import BENCHMARKS, Target, machine, table, targets, write

COLD_ROUNDS = 3
WARM_ROUNDS = 5
LIVE_ROUNDS = 3
SERVED_ROUNDS = 7
SLOWEST = 8
"""How many templates the table names."""

FILE_TARGET_MS, LIVE_TARGET_MS = 50.0, 500.0
OURS = sorted(
    path
    for folder in ("tests/templates", "litellm_role_guard/simulator")
    for path in (REPOSITORY / folder).glob("*.jinja")
    if path.name != "relax.jinja"  # a part that goes in front of another template
)


class FromFile(NamedTuple):
    """What learning one template from its file takes, in ms.

    Attributes:
        load: To read and compile the template.
        cold: To learn it, in a process that has rendered nothing yet.
        warm: To learn it again.
        probe_plan: How many conversations are put to it.
    """

    load: float
    cold: float
    warm: float
    probe_plan: int


class Live(NamedTuple):
    """What learning one template from a live vLLM takes.

    Attributes:
        milliseconds: All of it.
        trips: How many requests that is.
        trip: The time of a single one that tries one conversation, in ms.
    """

    milliseconds: float
    trips: int
    trip: float


def title(path: Path) -> str:
    """Give a template's name for the page."""
    return name(path) if path in REAL else f"own {path.stem}"


def _load_and_learn(path: Path) -> tuple[float, float]:
    began = time.perf_counter()
    template = ChatTemplate.from_path(path)
    loaded = time.perf_counter()
    TemplateProfile.learn(template)
    return (loaded - began) * 1000, (time.perf_counter() - loaded) * 1000


def from_files(paths: Sequence[Path]) -> dict[Path, FromFile]:
    """Measure all templates, round by round, in new processes and in this one.

    A new process is a fork of this one, which has all modules and has rendered nothing.
    """
    forks = multiprocessing.get_context("fork")
    cold: dict[Path, list[tuple[float, float]]] = {path: [] for path in paths}
    for number in range(COLD_ROUNDS):
        with forks.Pool(1, maxtasksperchild=1) as pool:
            for path, times in zip(paths, pool.imap(_load_and_learn, paths, 1), strict=True):
                cold[path].append(times)
        print(f"from files, cold: round {number + 1} of {COLD_ROUNDS}", flush=True)
    warm: dict[Path, list[float]] = {path: [] for path in paths}
    templates = {path: ChatTemplate.from_path(path) for path in paths}
    counts = {path: _questions(template) for path, template in templates.items()}
    for _ in range(WARM_ROUNDS):
        for path, template in templates.items():
            began = time.perf_counter()
            TemplateProfile.learn(template)
            warm[path].append((time.perf_counter() - began) * 1000)
    return {
        path: FromFile(
            statistics.median(load for load, _ in cold[path]),
            statistics.median(learnt for _, learnt in cold[path]),
            statistics.median(warm[path]),
            counts[path],
        )
        for path in paths
    }


def _questions(template: ChatTemplate) -> int:
    recorder = ProbeRecorder()
    recorder.learn(template)
    return len(recorder.renderings)


async def from_live(url: str, paths: Sequence[Path]) -> tuple[dict[Path, Live], Live]:
    """Measure all templates, round by round; the second is the template that is served.

    Args:
        url: The address of a vLLM that takes templates from requests.
        paths: The templates.
    """
    trips = 0

    async def count(request: httpx.Request) -> None:
        nonlocal trips
        trips += 1

    times: dict[Path, list[Live]] = {path: [] for path in paths}
    async with httpx.AsyncClient(event_hooks={"request": [count]}) as client:

        async def learn(fields: Mapping[str, Any]) -> tuple[float, int]:
            nonlocal trips
            trips = 0
            handler = SimpleNamespace(client=client)
            backend = Backend(MODEL, url, MODEL, fields=fields, handler=handler)
            return await _timed(partial(learn_from_backend, backend)), trips

        async def try_one(fields: Mapping[str, Any]) -> float:
            messages = [{"role": "user", "content": "hello"}]
            body = {"model": MODEL, "messages": messages, **fields}
            trying = partial(client.post, f"{url}/tokenize", json=body)
            return statistics.median([await _timed(trying) for _ in range(3)])

        for number in range(LIVE_ROUNDS):
            for path in paths:
                fields = {"chat_template": path.read_text()}
                trip = await try_one(fields)
                times[path].append(Live(*await learn(fields), trip))
            print(f"from the live vLLM: round {number + 1} of {LIVE_ROUNDS}", flush=True)
        trip = await try_one({})
        _, own_trips = await learn({})
    # As a user does it, with connections of its own.
    served = [
        await _timed(partial(TemplateProfile.learn_from_vllm, url, MODEL))
        for _ in range(SERVED_ROUNDS)
    ]
    own = Live(statistics.median(served), own_trips, trip)
    return {path: _median(each) for path, each in times.items()}, own


def _median(rounds: Sequence[Live]) -> Live:
    milliseconds, trips, trip = (statistics.median(each) for each in zip(*rounds, strict=True))
    return Live(milliseconds, round(trips), trip)


async def _timed(call: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await call()
    return (time.perf_counter() - began) * 1000


def report(files: dict[Path, FromFile], live: dict[Path, Live], served: Live) -> str:
    """Write it down."""
    slowest_file = max(files, key=lambda path: files[path].cold)
    slowest_live = max(live, key=lambda path: live[path].milliseconds)
    cold = [figures.cold for figures in files.values()]
    lives = [figures.milliseconds for figures in live.values()]
    over = sum(each > LIVE_TARGET_MS for each in lives)
    rows = [
        Target(
            f"learning a template from its file, each of {len(files)}",
            f"at most {FILE_TARGET_MS:.0f} ms",
            f"{statistics.median(cold):.0f} ms, the slowest ({title(slowest_file)}) "
            f"{max(cold):.0f} ms",
            max(cold) <= FILE_TARGET_MS,
        ),
        Target(
            f"learning a template from a live vLLM, each of {len(live)}",
            f"at most {LIVE_TARGET_MS:.0f} ms",
            f"{statistics.median(lives):.0f} ms, the slowest ({title(slowest_live)}) "
            f"{max(lives):.0f} ms"
            + (f"; {len(lives) - over} of {len(lives)} in time" if over else ""),
            max(lives) <= LIVE_TARGET_MS,
        ),
    ]
    loads = [figures.load for figures in files.values()]
    warm = [figures.warm for figures in files.values()]
    asked = [figures.probe_plan for figures in files.values()]
    trips = [figures.trips for figures in live.values()]
    single = [figures.trip for figures in live.values()]
    summary = [
        ("file: read and compile it (Jinja)", *_spread(loads)),
        ("file: learn it, in a new process", *_spread(cold)),
        ("file: learn it again", *_spread(warm)),
        ("live: learn it", *_spread(lives)),
        ("live: one conversation tried by hand, a single `/tokenize`", *_spread(single, 1)),
    ]
    slowest = sorted(live, key=lambda path: -live[path].milliseconds)[:SLOWEST]
    details = [
        (
            title(path),
            f"{files[path].cold:.0f}",
            files[path].probe_plan,
            f"{live[path].milliseconds:.0f}",
            live[path].trips,
            f"{live[path].trip:.1f}",
        )
        for path in slowest
    ]
    of_the_served = (
        f"{statistics.median(asked):.0f} questions are put to a template (median; at most "
        f"{max(asked)}), of which many are the same conversation: {statistics.median(trips):.0f} "
        f"requests to a live vLLM (at most {max(trips)}). The template that the vLLM serves "
        f"itself (Gemma 3's), with which no request has to bring one: "
        f"{served.milliseconds:.0f} ms, {served.trips} requests."
    )
    head = ("live, the slowest", "file, ms", "questions", "live, ms", "requests", "one request, ms")
    series = {
        "live vLLM": sorted(lives),
        "file, new process": sorted(cold),
        "one /tokenize": sorted(single),
    }
    drawn = plot.lines(
        "learning-time",
        {what: list(enumerate(each, 1)) for what, each in series.items()},
        x="templates, the slowest last",
        y="time, ms",
        log_y=True,
    )
    return "\n\n".join(
        [
            targets(rows),
            table(("ms per template", "median", "least", "most"), summary),
            of_the_served,
            table(head, details),
            drawn,
            machine("jinja2", "httpx", "litellm-role-guard"),
        ]
    )


def _spread(values: Sequence[float], digits: int = 0) -> tuple[str, str, str]:
    middle, least, most = statistics.median(values), min(values), max(values)
    return f"{middle:.{digits}f}", f"{least:.{digits}f}", f"{most:.{digits}f}"


def main() -> None:
    """Measure, print, and put the figures into docs/benchmarks.md."""
    if GEMMA_3 is None:
        sys.exit("no templates: run scripts/vllm_cpu/fetch_templates.sh")
    files = from_files([*REAL, *OURS])
    print("starting a vLLM, about a minute ...", flush=True)
    with TemporaryDirectory() as folder, serving_with(GEMMA_3, Path(folder)) as url:
        live, served = asyncio.run(from_live(url, [*REAL, *OURS]))
    text = report(files, live, served)
    print(text)
    write("learning_time", text, BENCHMARKS)


if __name__ == "__main__":
    main()
