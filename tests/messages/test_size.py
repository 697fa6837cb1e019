"""How large a conversation is, whatever a client makes it of."""

from __future__ import annotations

from typing import Any

import pytest

from litellm_role_guard.messages.size import MAX_DEPTH, size_of
from testing.conversations import calls, parts, result, user


@pytest.mark.parametrize(
    ("listed", "entries", "characters"),
    [
        ([], 0, 0),
        (None, 0, 0),
        (7, 0, 0),
        ("hello", 1, 5),
        (["hello", None, 3.5], 3, 5),
        ([user("abc"), user("de")], 2, 5),
        ([{"role": "user", "content": "abc", "name": "x"}], 1, len("userabcx")),
    ],
)
def test_messages_and_their_characters_count(listed: Any, entries: int, characters: int) -> None:
    """Each message counts, whatever it is, and so does each character of its texts."""
    assert size_of(listed)[:2] == (entries, characters)


def test_parts_and_calls_count_as_messages_do() -> None:
    """A message of three parts, one of two calls and a result are eight entries."""
    given = [parts("user", "a", "b", "c"), calls("c1", "c2"), result("c1", "x")]
    assert size_of(given).entries == 3 + 3 + 2


def test_fields_without_end_count() -> None:
    """A message cannot hide its size in fields that nobody reads."""
    assert size_of([dict.fromkeys(map(str, range(1000)))]).entries > 900


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 100_000])
def test_what_is_nested_without_end_is_found_without_recursion(depth: int) -> None:
    """A message that is nested too deep is found so, however deep it is."""
    value: Any = "x"
    for _ in range(depth):
        value = [value]
    assert size_of([{"role": "user", "content": value}]).depth > MAX_DEPTH
    assert size_of([{"role": "user", "content": [{"type": "text", "text": "x"}]}]).depth < 6
