"""The measured parts of docs/fleet.md, each between two marks, written by what measured it."""

from __future__ import annotations

from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "fleet.md"


def write(name: str, text: str) -> None:
    """Put a text between the marks of a name.

    Args:
        name: What the marks are called.
        text: What was measured, in Markdown.

    Raises:
        ValueError: The page has no such marks.
    """
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
    page = PAGE.read_text()
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{PAGE}: no marks for {name}")
    PAGE.write_text(f"{before}{begin}{text}\n{end}{after}")
