"""Backends killed, hung, cut, failing and replaced at random, under load.

Once with the guard and once without.

    python -m benchmarks.chaos [seconds] [seed]    writes its part of docs/fleet.md

`testing.chaos` runs it. Both runs have the same faults at the same times, and the same
conversations in the same order.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from testing.chaos import BACKENDS, Chaos, run

from .page import write

CONCURRENCY = 100
SECONDS = 60.0


def _said(counts: Counter[str]) -> str:
    total = sum(counts.values())
    rest = ", ".join(
        f"{count} {what}" for what, count in counts.most_common() if what != "answered"
    )
    share = f"{counts['answered']} of {total} ({counts['answered'] / max(1, total):.1%})"
    return f"{share}{'; ' if rest else ''}{rest}"


def report(runs: dict[str, Chaos], seconds: float, seed: int) -> str:
    """Write it down."""
    faults = next(iter(runs.values())).faults
    said = ", ".join(f"{count} {fault}" for fault, count in faults.most_common())
    lines = [
        f"{seconds:.0f} s, {CONCURRENCY} requests at a time, {BACKENDS} backends, seed {seed}: "
        f"{said}.",
        "",
        "| | sound conversations answered | broken ones answered | after the last fault |",
        "|---|---|---|---|",
    ]
    for name, result in runs.items():
        cells = [_said(counts) for counts in (result.sound, result.broken, result.after)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and put the figures into docs/fleet.md."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    runs = {}
    for name, guarded in (("without the guard", False), ("with it", True)):
        with TemporaryDirectory() as folder:
            runs[name] = run(Path(folder), seconds, CONCURRENCY, seed, guarded=guarded)
        print(name, runs[name], flush=True)
    text = report(runs, seconds, seed)
    print(text)
    write("chaos", text)


if __name__ == "__main__":
    main()
