"""Conversations that grow turn by turn, the same in every run, some of them broken."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

BROKEN = ("unanswered", "system", "developer")
"""What may be wrong with a conversation, from its third turn on."""


def talk(
    name: str, turns: int, *, chars: int = 180, broken: str | None = None
) -> Iterator[list[dict[str, Any]]]:
    """Give the messages of each request of one conversation, from its first turn to its last.

    Args:
        name: What tells it from all others; the texts are drawn with it as the seed.
        turns: How many requests there are.
        chars: How long each message is.
        broken: One of `BROKEN`, or None for a conversation that strict templates take.
    """
    words = random.Random(name)

    def text() -> str:
        said = f"{name}:"
        while len(said) < chars:
            said += f" {words.getrandbits(32):x}"
        return said[:chars].rstrip()

    messages: list[dict[str, Any]] = []
    for turn in range(turns):
        if turn == 2 and broken in ("system", "developer"):
            messages.append({"role": broken, "content": text()})
        messages.append({"role": "user", "content": text()})
        yield list(messages)
        if turn == 2 and broken == "unanswered":
            continue  # the connection was lost, and the user asks again
        messages.append({"role": "assistant", "content": text()})


def talks(
    name: str, count: int, turns: int, *, chars: int = 180
) -> list[Iterator[list[dict[str, Any]]]]:
    """Give conversations of which every second one is broken, in each way alike.

    Args:
        name: What tells these from those of another run, whose texts no cache must know.
        count: How many there are.
        turns: How many requests each has.
        chars: How long each message is.
    """
    return [
        talk(
            f"{name}-{number}",
            turns,
            chars=chars,
            broken=BROKEN[number // 2 % len(BROKEN)] if number % 2 else None,
        )
        for number in range(count)
    ]
