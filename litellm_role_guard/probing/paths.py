"""How a conversation gets to each state, and how it may go on from there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..profile.rules import Answer
from ..profile.states import KINDS, Kind, after

# How a conversation gets to each state: the first of these ways that the template reads. A state
# that no way leads to is one that a repair never enters.
PATHS_TO_STATE: dict[str, tuple[tuple[str, ...], ...]] = {
    "start": ((),),
    "leading_system": (("system",),),
    "user": (("user",),),
    "user+call": (("user", "call"),),
    "user+tool": (("user", "call", "tool"), ("user", "tool")),
    "user+system": (
        ("user", "system"),
        ("user", "function"),
        ("user", "developer"),
        ("system", "user", "system"),
    ),
    "assistant": (("user", "assistant"),),
    "assistant+call": (("user", "assistant", "call"),),
    "assistant+tool": (("user", "assistant", "call", "tool"), ("user", "assistant", "tool")),
    "assistant+system": (
        ("user", "assistant", "system"),
        ("user", "assistant", "function"),
        ("user", "assistant", "developer"),
        ("system", "user", "assistant", "system"),
    ),
}


# What may be needed after a message before a template takes it. A conversation in the middle of
# which a message stands is as good a proof as one that ends in it.
CONTINUATIONS: dict[Kind, tuple[tuple[str, ...], ...]] = {
    "user": ((),),
    "assistant": ((), ("user",)),
    "call": (("tool",), ("tool", "assistant", "user")),
    # Whether a conversation may end there is asked of the state. A count of calls and results is
    # made by some only once the next turn begins.
    "tool": (("assistant", "user"), ("user", "assistant", "user")),
    # Long enough to tell text that stays where it was said from text that is moved to the front, or
    # to the last user turn.
    "system": (("user", "assistant", "user"), ("assistant", "user", "assistant", "user")),
    "developer": (("user", "assistant", "user"), ("assistant", "user", "assistant", "user")),
    "function": (("user", "assistant", "user"), ("assistant", "user", "assistant", "user")),
}


def continuations_of(kind: Kind, way: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    # Where nobody has spoken yet, a template may want a user turn to be somewhere.
    opens = kind == "call" and "user" not in way
    return (*CONTINUATIONS[kind], ("tool", "user")) if opens else CONTINUATIONS[kind]


def first_path(
    state: str,
    leading_system: Mapping[str, Answer],
    follows: Mapping[str, Mapping[Kind, Answer]],
    follows_with_system: Mapping[str, Mapping[Kind, Answer]],
) -> tuple[str, ...] | None:
    """Give the first way to a state on which every message is read."""
    if state == "leading_system":
        return ("system",) if leading_system["system"] == "accepted" else None
    for way in PATHS_TO_STATE[state]:
        here, read = "start", True
        rows = [follows, follows_with_system] if way[:1] == ("system",) else [follows]
        for kind in way:
            read = read and any(row.get(here, {}).get(as_kind(kind)) == "accepted" for row in rows)
            here = after(here, kind)
        if read:
            return way
    return None


def as_kind(kind: str) -> Kind:
    return next(known for known in KINDS if known == kind)
