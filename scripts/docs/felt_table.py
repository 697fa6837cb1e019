"""The first table of docs/benchmarks.md: what a user feels, of what its sections have measured."""

from __future__ import annotations

import re
from pathlib import Path

from testing.pages import read_section, table
from testing.processes import REPOSITORY

PAGE = REPOSITORY / "docs" / "benchmarks.md"


def felt_table(page: Path = PAGE) -> str:
    """Return the table.

    Args:
        page: The page whose measured sections are read.
    """
    ratios, seconds = (_row(page, "proxy_time", start, at) for start, at in (("all", 0), ("1", 1)))
    without, clean, broken = seconds[1:4]
    again, clean_ratio, broken_ratio = ratios[2:5]
    plain, refused = (
        _row(page, "refusal_time", f"this guard: {what}", 0)[1]
        for what in ("no refusal", "a refusal")
    )
    learning = _row(page, "learning_time", "live: learn it", 0)
    first = f"{learning[1]} ms, at most {learning[3]} ms; it waits for at most `learn_wait`"
    cache = re.search(r"all breaks.*?\| ([\d.]+) \(", page.read_text(encoding="utf-8"))
    found = "" if cache is None else cache[1]
    head = ("what a user feels", "without", "with it, clean", "with it, broken")
    return table(
        head,
        [
            ("requests a second, one at a time", without, clean, broken),
            ("the same at all loads, as a ratio", again, clean_ratio, broken_ratio),
            ("a request that meets a refusal, ms", "a 400", plain, refused),
            ("the first request after a start is asked about", "", first, ""),
            ("prompt tokens found in the prefix cache, of a clean chat's", "", "1", found),
        ],
    )


def _row(page: Path, section: str, start: str, at: int) -> list[str]:
    """Return the cells of a row of a section: of those that begin alike, the one at `at`."""
    lines = read_section(section, page).splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in rows if row[0] == start][at]


def sections(page: Path = PAGE) -> dict[str, tuple[Path, str]]:
    """Return the part of the page as it should be, with the page."""
    return {"felt": (page, felt_table(page))}
