"""The memory of `role-guard batch` at 5000 and 50000 lines, and how many requests are under way.

    python -m benchmarks.batch_memory [lines ...]    writes its part of docs/batch.md

The backend is the lightest one that answers (testing/light_backend.py), and counts what is under
way all the time.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from testing.processes import free_port, launch, running

from .batch import BOUND, LINES, PAGE, command, write_input
from .page import machine, table, write

LATENCY_SECONDS = 2.0


def run(folder: Path, lines: int) -> tuple[object, ...]:
    """Run a batch; give its row."""
    write_input(folder / "in.jsonl", lines)
    port = free_port()
    backend = [sys.executable, "-m", "testing.light_backend", str(port), str(LATENCY_SECONDS)]
    log, url = folder / "batch.log", f"http://127.0.0.1:{port}"
    served = launch(backend, folder, folder / "backend.log")
    with running(served, url, "/health", folder / "backend.log"):
        process = launch([*command(folder, url, BOUND)], folder, log)
        _, status, usage = os.wait4(process.pid, 0)
        told = httpx.get(f"{url}/in-flight", timeout=60).json()
    assert os.waitstatus_to_exitcode(status) == 0, log.read_text()
    sums = json.loads(log.read_text().splitlines()[-1])["summary"]
    with (folder / "out.jsonl").open() as out:
        in_order = all(
            json.loads(line)["custom_id"] == f"talk-{number}" for number, line in enumerate(out)
        )
    held = {int(number): seconds for number, seconds in told.items()}
    full = sum(seconds for number, seconds in held.items() if number >= BOUND * 0.95)
    mean = sum(number * seconds for number, seconds in held.items()) / sum(held.values())
    for name in ("out.jsonl", "out.jsonl.journal"):
        (folder / name).unlink()
    return (
        f"{lines:,}",
        f"{sums['answered']:,}{', in order' if in_order else ', **disordered**'}",
        f"{usage.ru_maxrss / 1024:.1f}",
        f"{mean:.1f} / {max(held)}",
        f"{full / sum(held.values()):.1%}",
        f"{(usage.ru_utime + usage.ru_stime) / lines * 1000:.2f}",
        f"{sums['answers_per_second']:.0f}",
        f"{os.getloadavg()[0]:.1f}",
    )


def main() -> None:
    """Measure, print, and put the figures into docs/batch.md."""
    with TemporaryDirectory() as folder:
        rows = []
        for lines in map(int, sys.argv[1:] or LINES):
            rows.append(run(Path(folder), lines))
            print(rows[-1], flush=True)
    head = (
        *("lines", "answered", "most memory, MB", "under way at the backend, mean / most"),
        *("of the time within 5% of the bound", "processor time, ms a line"),
        *("a second", "load average"),
    )
    text = (
        f"{table(head, rows)}\n\n`--max-concurrent {BOUND}`, answers that take "
        f"{LATENCY_SECONDS:g} s. {machine('aiohttp')}"
    )
    print(text)
    write("memory", text, PAGE)


if __name__ == "__main__":
    main()
