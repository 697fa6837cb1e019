"""The common beginning of two prompts."""

from __future__ import annotations

from collections.abc import Sequence


def shared_beginning(one: Sequence[object], other: Sequence[object]) -> int:
    """Return its length, in tokens or in characters."""
    for at, (each, another) in enumerate(zip(one, other, strict=False)):
        if each != another:
            return at
    return min(len(one), len(other))
