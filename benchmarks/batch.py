"""`role-guard batch` through a proxy with two workers: memory, load, order; and beside others.

    python -m benchmarks.batch large [lines ...]      5000 and 50000 lines; some 20 minutes
    python -m benchmarks.batch senders [lines]        beside the openai client and LiteLLM's own

Each writes its part of docs/batch.md.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from testing.processes import launch
from testing.proxies import MASTER_KEY
from testing.talks import BROKEN, talk

from .batch_fleet import GROUP, fleet, under_way
from .page import REPOSITORY, machine, table, write

PAGE = REPOSITORY / "docs" / "batch.md"

LINES = (5000, 50000)
BOUND = 200

LARGE_BOUND = 400
LARGE_LATENCY_SECONDS = 10.0
"""So long that the proxy, on two cores, is not what the lines wait for."""

COMPARED_LINES = 3000
COMPARED_LATENCY_SECONDS = 0.05
ROUNDS = 2
OTHERS = {
    "openai": "openai client, `asyncio.Semaphore(200)`",
    "litellm": "LiteLLM's `Router.abatch_completion`",
}

LOOKING_SECONDS = 1.0


@dataclass
class Ran:
    """What a run took.

    Attributes:
        lines: How many lines there were.
        sums: The sums that the command printed.
        in_order: Whether each line of the output answers its line of the input.
        memory_mb: The most memory that the process held.
        under_way: How many requests the backends were answering, second by second.
        at_client: How many the client had under way, every ten seconds.
        load: The machine's load average at the end.
    """

    lines: int
    sums: dict[str, Any]
    in_order: bool
    memory_mb: float
    under_way: list[float]
    at_client: list[int]
    load: float


def write_input(path: Path, lines: int) -> None:
    """Write conversations of four turns, a tenth of them broken."""
    with path.open("w") as file:
        for number in range(lines):
            broken = BROKEN[number // 10 % len(BROKEN)] if number % 10 == 0 else None
            *_, messages = talk(str(number), 4, chars=120, broken=broken)
            line = {"custom_id": f"talk-{number}", "messages": messages, "max_tokens": 64}
            file.write(json.dumps(line) + "\n")


def command(folder: Path, url: str, bound: int) -> list[str]:
    """Give the command line of a batch."""
    main = "from litellm_role_guard.cli import main; main()"
    options = ["--proxy", url, "--api-key", MASTER_KEY, "--model", GROUP]
    files = [str(folder / "in.jsonl"), str(folder / "out.jsonl")]
    return [sys.executable, "-c", main, "batch", *files, *options, "--max-concurrent", str(bound)]


def run(folder: Path, url: str, backends: Sequence[str], lines: int, bound: int) -> Ran:
    """Run a batch, and look at the backends meanwhile."""
    write_input(folder / "in.jsonl", lines)
    log = folder / "batch.log"
    process = launch(command(folder, url, bound), folder, log)
    seen: list[float] = []
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(LOOKING_SECONDS):
            seen.append(under_way(backends))

    looking = threading.Thread(target=look)
    looking.start()
    _, status, usage = os.wait4(process.pid, 0)
    ended.set()
    looking.join()
    told = [json.loads(line) for line in log.read_text().splitlines()]
    if os.waitstatus_to_exitcode(status) != 0:
        print(log.read_text()[-2000:])
    answered = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
    result = Ran(
        lines,
        next(each["summary"] for each in told if "summary" in each),
        [each["custom_id"] for each in answered] == [f"talk-{n}" for n in range(lines)]
        and all(_is_of(each, number) for number, each in enumerate(answered)),
        usage.ru_maxrss / 1024,
        seen,
        [each["progress"]["in_flight"] for each in told if "progress" in each],
        os.getloadavg()[0],
    )
    for name in ("out.jsonl", "out.jsonl.journal"):
        (folder / name).unlink()
    return result


def _is_of(line: dict[str, Any], number: int) -> bool:
    said: str = line["response"]["body"]["choices"][0]["message"]["content"]
    return f"{number}:" in said


def report(results: Sequence[Ran]) -> str:
    """Write it down."""
    rows = []
    for each in results:
        steady = sorted(each.under_way[len(each.under_way) // 10 : -len(each.under_way) // 10])
        at_client = each.at_client[:-1] or each.at_client
        rows.append(
            (
                f"{each.lines:,}",
                f"{each.sums['answered']:,}{', in order' if each.in_order else ', **disordered**'}",
                f"{each.sums['repaired']:,}",
                f"{each.sums['sent_again']:,}",
                f"{each.sums['answers_per_second']:.0f}",
                f"{each.memory_mb:.0f}",
                f"{min(at_client)} to {max(at_client)}",
                f"{steady[len(steady) // 20]:.0f} / {steady[len(steady) // 2]:.0f}",
                f"{each.load:.1f}",
            )
        )
    head = (
        *("lines", "answered", "repaired", "sent again", "a second", "most memory, MB"),
        *("under way at the client", "at the backends, 5% / median", "load average"),
    )
    return (
        f"{table(head, rows)}\n\n"
        f"`--max-concurrent {LARGE_BOUND}`, a proxy with two workers and the guard, two simulated "
        f"backends that take {LARGE_LATENCY_SECONDS:g} s for an answer, a tenth of the lines "
        f"broken. {machine('litellm', 'aiohttp')}"
    )


def compare(folder: Path, url: str, lines: int) -> dict[str, list[dict[str, Any]]]:
    """Send the same lines in three ways, one after the other, in turns."""
    write_input(folder / "in.jsonl", lines)
    took: dict[str, list[dict[str, Any]]] = {"role-guard": [], **{name: [] for name in OTHERS}}
    for _ in range(ROUNDS):
        log = folder / "batch.log"
        process = launch(command(folder, url, BOUND), folder, log)
        _, _, usage = os.wait4(process.pid, 0)
        sums = json.loads(log.read_text().splitlines()[-1])["summary"]
        cpu = usage.ru_utime + usage.ru_stime
        took["role-guard"].append(
            {
                "answered": sums["answered"],
                "seconds": sums["seconds"],
                "cpu": cpu,
                "mb": usage.ru_maxrss / 1024,
            }
        )
        for name in ("out.jsonl", "out.jsonl.journal"):
            (folder / name).unlink()
        for name in OTHERS:
            arguments = [name, str(folder / "in.jsonl"), url, MASTER_KEY, GROUP, str(BOUND)]
            told = subprocess.run(
                [sys.executable, "-m", "benchmarks.batch_senders", *arguments],
                cwd=REPOSITORY,
                env={**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
                capture_output=True,
                check=True,
            )
            took[name].append(json.loads(told.stdout.splitlines()[-1]))
        print({name: runs[-1] for name, runs in took.items()}, flush=True)
    return took


def report_compared(took: dict[str, list[dict[str, Any]]], lines: int) -> str:
    """Write it down."""
    names = {"role-guard": f"`role-guard batch --max-concurrent {BOUND}`", **OTHERS}
    rows = []
    for name, runs in took.items():
        rates = [run["answered"] / run["seconds"] for run in runs]
        rows.append(
            (
                names[name],
                " / ".join(f"{run['answered']:,}" for run in runs),
                " / ".join(f"{rate:.0f}" for rate in rates),
                " / ".join(f"{run['cpu'] / lines * 1000:.1f}" for run in runs),
                " / ".join(f"{run['mb']:.0f}" for run in runs),
            )
        )
    head = ("", "answered", "a second", "its own processor time, ms a line", "most memory, MB")
    return (
        f"{table(head, rows)}\n\n"
        f"{lines:,} lines each, {ROUNDS} rounds in turns in one run, through the same proxy with "
        f"two workers and the guard; the backends take {COMPARED_LATENCY_SECONDS:g} s. "
        f"{machine('litellm', 'openai', 'aiohttp')}"
    )


def main() -> None:
    """Measure, print, and put the figures into docs/batch.md."""
    part, *counts = sys.argv[1:]
    with TemporaryDirectory() as name:
        folder = Path(name)
        if part == "large":
            results = []
            with fleet(folder, LARGE_LATENCY_SECONDS) as (url, backends):
                for lines in map(int, counts or LINES):
                    results.append(run(folder, url, backends, lines, LARGE_BOUND))
                    print(results[-1], flush=True)
            text = report(results)
        else:
            lines = int(counts[0]) if counts else COMPARED_LINES
            with fleet(folder, COMPARED_LATENCY_SECONDS) as (url, _):
                took = compare(folder, url, lines)
            text = report_compared(took, lines)
    print(text)
    write(part, text, PAGE)


if __name__ == "__main__":
    main()
