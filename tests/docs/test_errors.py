"""docs/troubleshooting.md: each error's words are those of the code."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from testing.documents import anchors
from testing.processes import REPOSITORY

PAGE = REPOSITORY / "docs" / "troubleshooting.md"
FROM = ("litellm_role_guard", "tests/profile/test_refusals.py")
"""Where the words are looked for: vLLM's own stand in the test of refusals."""

GAP = "…"
NO_WORDS = {"no line `role guard 0.1.0: …` in the proxy's log", "`observe; merged=1` in the header"}
"""Rows about what is seen and is no error."""


def rows() -> list[str]:
    """Give the first cells of the page's tables."""
    cells = re.findall(r"^\| (.+?) \|", PAGE.read_text(), re.MULTILINE)
    heads = ("error", "you see", "line", "---")
    return [cell for cell in cells if not cell.startswith(heads) and cell not in NO_WORDS]


@cache
def strings() -> list[str]:
    """Give all strings of the code, with a gap for each part that is put in."""
    found = []
    for name in FROM:
        path = REPOSITORY / name
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(node.value)
                elif isinstance(node, ast.JoinedStr):
                    found.append(
                        "".join(
                            str(part.value) if isinstance(part, ast.Constant) else GAP
                            for part in node.values
                        )
                    )
    return found


@pytest.mark.parametrize("row", rows())
def test_the_words_of_an_error_are_in_the_code(row: str) -> None:
    """In one string, in order, whatever stands in the gaps."""
    (words,) = re.findall(r"`([^`]+)`", row)[:1]
    parts = words.split(GAP)
    assert any(stands_in(parts, text) for text in strings()), words


def stands_in(parts: list[str], text: str) -> bool:
    """Tell whether a text has all parts, in order."""
    place = 0
    for part in parts:
        place = text.find(part, place)
        if place < 0:
            return False
        place += len(part)
    return True


def test_the_page_has_an_anchor_for_what_others_link() -> None:
    """The page is one that people are sent to."""
    assert {"nothing-is-repaired", "the-guards-own-400s", "what-vllm-says"} <= anchors(PAGE)
