"""`role-guard repair` and `role-guard check --summary` over 50,000 lines.

python -m benchmarks.batch_files [lines]    writes its part of docs/batch.md
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from testing.processes import launch
from testing.real_templates import GEMMA_3

from .batch import PAGE, write_input
from .page import machine, table, write

LINES = 50000
JOBS = 2


def run(folder: Path, *arguments: str) -> tuple[str, ...]:
    """Run a command over the file; give its row."""
    main = "from litellm_role_guard.cli import main; main()"
    log = folder / "log"
    began = time.monotonic()
    process = launch([sys.executable, "-c", main, *arguments], folder, log)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - began
    assert os.waitstatus_to_exitcode(status) in (0, 1), log.read_text()
    print(log.read_text())
    return (
        f"{seconds:.1f}",
        f"{usage.ru_utime + usage.ru_stime:.1f}",
        f"{usage.ru_maxrss / 1024:.0f}",
        f"{os.getloadavg()[0]:.1f}",
    )


def main() -> None:
    """Measure, print, and put the figures into docs/batch.md."""
    lines = int(sys.argv[1]) if len(sys.argv) > 1 else LINES
    assert GEMMA_3 is not None, "no templates; `make bench` fetches them"
    common = ("in.jsonl", "--template", str(GEMMA_3), "--jobs", str(JOBS))
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_input(folder / "in.jsonl", lines)
        megabytes = (folder / "in.jsonl").stat().st_size / 2**20
        rows = [
            ("`repair`", *run(folder, "repair", *common, "-o", "out.jsonl")),
            ("`check --summary`", *run(folder, "check", *common, "--summary")),
        ]
    head = (
        *("", "seconds by the clock", "of processor time", "most memory of a process, MB"),
        "load average",
    )
    text = (
        f"{table(head, rows)}\n\n{lines:,} conversations of four turns ({megabytes:.0f} MB), a "
        f"tenth of them broken, the real Gemma 3 template, `--jobs {JOBS}`. {machine('jinja2')}"
    )
    print(text)
    write("files", text, PAGE)


if __name__ == "__main__":
    main()
