"""The measured parts of a page, each between two marks, written by what measured it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def read_section(name: str, page: Path) -> str:
    """Return the text between the marks of a name.

    Raises:
        ValueError: The page has no such marks.
    """
    return _parts(name, page)[1]


def write_section(name: str, text: str, page: Path) -> None:
    """Put a text between the marks of a name.

    Args:
        name: What the marks are called.
        text: What was measured, in Markdown.
        page: The page that has them.

    Raises:
        ValueError: The page has no such marks.
    """
    before, _, after = _parts(name, page)
    page.write_text(f"{before}{text}\n{after}")


def table(head: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    """Return a table in Markdown."""
    lines = [list(map(str, head))]
    lines += [["---"] * len(lines[0]), *(list(map(str, row)) for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _parts(name: str, page: Path) -> tuple[str, str, str]:
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
    before, found, rest = page.read_text().partition(begin)
    text, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{page}: no marks for {name}")
    return before + begin, text, end + after
