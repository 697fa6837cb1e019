"""How large a conversation is, in what its repair costs."""

from __future__ import annotations

from typing import NamedTuple

MAX_DEPTH = 64
"""How deep a message may be nested. What is deeper is no conversation, and runs into Python's limit
of recursion in one place or another."""

_FREE_FIELDS = 16


class ConversationSize(NamedTuple):
    """The size of a conversation.

    Attributes:
        entries: How many messages, content parts and tool calls it has.
        characters: How many characters their texts have, in all.
        depth: How deep the deepest of them is nested; `MAX_DEPTH` + 1 for all that is deeper.
    """

    entries: int
    characters: int
    depth: int


def size_of(listed: object) -> ConversationSize:
    """Return the size of a request's `messages` or `input`, whatever the client has put there."""
    if isinstance(listed, str):
        return ConversationSize(1, len(listed), 0)
    if not isinstance(listed, (list, tuple)):
        return ConversationSize(0, 0, 0)
    entries, characters, depth = len(listed), 0, 0
    for message in listed:
        # Fast path for the usual form of a message, since this runs on every request.
        if type(message) is dict and len(message) == 2:
            content = message.get("content")
            if type(content) is str:
                characters += len(content)
                continue
        within = _size_within(message)
        entries += within.entries
        characters += within.characters
        depth = max(depth, within.depth)
    return ConversationSize(entries, characters, depth)


def _size_within(message: object) -> ConversationSize:
    # Level by level and not by recursion: a client chooses how deep its JSON is.
    entries = characters = depth = 0
    level: list[object] = [message]
    while level and depth <= MAX_DEPTH:
        depth += 1
        below: list[object] = []
        for value in level:
            if type(value) is str:
                characters += len(value)
            elif type(value) is dict:
                entries += max(0, len(value) - _FREE_FIELDS)
                below.extend(value.values())
            elif type(value) in (list, tuple):
                entries += len(value)  # type: ignore[arg-type]
                below.extend(value)  # type: ignore[arg-type]
        level = below
    return ConversationSize(entries, characters, depth)
