"""20,000 requests, 500 at a time, through a proxy with two workers to four simulated backends.

    python -m benchmarks.soak [requests] [concurrency]    writes its part of docs/fleet.md

It takes some minutes, and tells what each worker held over time and for how long the guard's own
code held an event loop at most (testing/timed_guard.py).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from testing.soak import BACKENDS, WORKERS, Soak, run

from .page import write


def report(result: Soak, concurrency: int) -> str:
    """Write it down."""
    requests = sum(result.outcomes.values())
    said = ", ".join(f"{count} {outcome}" for outcome, count in result.outcomes.most_common())
    lines = [
        f"{requests} requests, {concurrency} at a time, {WORKERS} workers, {BACKENDS} backends: "
        f"{said}; {requests / result.seconds:.0f} a second. Load average of the {os.cpu_count()} "
        f"cores: {result.load[0]:.1f} before, {result.load[1]:.1f} at the end.",
        "",
        "| requests | memory of each worker, MB | tasks | in flight |",
        "|---|---|---|---|",
    ]
    for count, held in [*result.samples, ("after", result.workers)]:
        cells = [
            " ".join(f"{worker[kind]:.0f}" for worker in held)
            for kind in ("mb", "tasks", "in_flight")
        ]
        lines.append(f"| {count} | {' | '.join(cells)} |")
    lines += [
        "",
        "| the guard's code | times | longest without an await, ms of processor | by the clock |",
        "|---|---|---|---|",
    ]
    for name, longest in result.longest.items():
        figures = f"{longest['cpu_ms']:.1f} | {longest['wall_ms']:.1f}"
        lines.append(f"| `{name}` | {longest['count']:.0f} | {figures} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and put the figures into docs/fleet.md."""
    requests, concurrency = (*map(int, sys.argv[1:3]), *(20000, 500)[len(sys.argv) - 1 :])
    with TemporaryDirectory() as folder:
        result = run(Path(folder), requests, concurrency)
        log = (Path(folder) / "proxy.log").read_text()
    text = report(result, concurrency)
    print(text)
    print(f"role guard failed: {log.count('role guard failed')}")
    print(*result.failures, sep="\n")
    print(f"learnt: {log.count('learnt in')}; not learnt: {log.count('not learnt')}")
    print(f"workers that were ended: {log.count('Child process')}")
    write("soak", text)


if __name__ == "__main__":
    main()
