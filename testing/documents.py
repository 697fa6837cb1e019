"""README and docs as blocks, links and headings, for the tests that hold them to the code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .processes import REPOSITORY

PAGES = [
    *sorted(REPOSITORY.glob("*.md")),
    *sorted((REPOSITORY / "docs").glob("*.md")),
]

LANGUAGES = {"sh", "text", "yaml", "python", "json", "toml", "mermaid", "dockerfile"}
RUN = {"alone", "a vLLM", "a proxy"}
"""What a shell block may be run with, by tests/docs/test_shell.py."""
NOT_RUN = {
    "GPU",
    "Docker",
    "installs",
    "takes minutes, CI runs it",
    "needs a database",
    "an agent",
    "a fragment",
}
"""Why a shell block may not be run."""

_FENCE = re.compile(r"^( *)```(\S*)[^\n]*\n(.*?)^\1```[ ]*$", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"<!-- ((?:not )?run): (.+?) -->\s*\Z")
_LINK = re.compile(r"\[(?:[^\[\]]|\[[^\[\]]*\]|!\[[^\]]*\]\([^)]*\))*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.+?)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        page: The page.
        line: The line of its opening fence, counted from 1.
        language: What the fence says, such as `sh`; empty where it says nothing.
        text: What stands in it.
        run: What the mark before it says that it is run with, such as `a proxy`; None without one.
        not_run: Why it is not run, as the mark before it says; None where it is.
    """

    page: Path
    line: int
    language: str
    text: str
    run: str | None
    not_run: str | None

    @property
    def name(self) -> str:
        """The page and the line."""
        return f"{self.page.name}:{self.line}"


def blocks() -> Iterator[Block]:
    """Yield the fenced blocks of all pages, in order."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for found in _FENCE.finditer(text):
            before = text[: found.start()]
            mark = _MARK.search(before)
            what, why = mark.groups() if mark else ("", None)
            yield Block(
                page,
                before.count("\n") + 1,
                found[2],
                found[3],
                run=why if what == "run" else None,
                not_run=why if what == "not run" else None,
            )


def faults() -> Iterator[str]:
    """Yield what is wrong with the pages: dead links, and blocks that nobody knows how to run."""
    for page in PAGES:
        for link in links(page):
            if not _leads_somewhere(page, link):
                yield f"{page.name}: the link {link} leads nowhere"
    for block in blocks():
        if block.language not in LANGUAGES:
            yield f"{block.name}: a block begins with ```text, ```sh or another language's name"
        elif block.language == "sh" and block.run not in RUN and block.not_run not in NOT_RUN:
            marks = [*(f"run: {each}" for each in RUN), *(f"not run: {each}" for each in NOT_RUN)]
            yield f"{block.name}: a line before it says one of <!-- {' | '.join(sorted(marks))} -->"


def _leads_somewhere(page: Path, link: str) -> bool:
    """Return whether a link leads to a file and a heading; addresses on the web are not tried."""
    if "://" in link:
        return True
    name, _, anchor = link.partition("#")
    target = (page.parent / name).resolve() if name else page
    return target.exists() and (not anchor or anchor in anchors(target))


def links(page: Path) -> list[str]:
    """Return where the links and images of a page lead, outside of its fenced blocks."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    images = re.findall(r"!\[[^\]]*\]\(([^)\s]+)\)", text)
    return [*_LINK.findall(text), *images]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return {slug(heading) for heading in _HEADING.findall(text)}


def slug(heading: str, separator: str = "-") -> str:
    """Return a heading's anchor, as GitHub makes it.

    Args:
        heading: Its text.
        separator: What stands for a blank.
    """
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    kept = re.sub(r"[^\w\- ]", "", words.lower().replace("`", ""))
    return kept.replace(" ", separator)
