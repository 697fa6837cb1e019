"""How a conversation gets to each state, and how it may go on from there."""

from __future__ import annotations

from collections.abc import Sequence

from ..profile.states import Kind, after
from .answers import Answers

# The paths to each state, in the order in which they are tried. A state that no path leads to is
# one that a repair never enters.
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
    # Where nobody has spoken yet, a call leads there, too.
    "assistant+call": (("user", "assistant", "call"), ("system", "call"), ("call",)),
    "assistant+tool": (
        ("user", "assistant", "call", "tool"),
        ("user", "assistant", "tool"),
        ("system", "call", "tool"),
        ("call", "tool"),
    ),
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


def continuations_of(kind: Kind, path: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Return the continuations to try after a message of this kind at the end of a path."""
    # Where nobody has spoken yet, a template may want a user turn to be somewhere.
    opens = kind == "call" and "user" not in path
    return (*CONTINUATIONS[kind], ("tool", "user")) if opens else CONTINUATIONS[kind]


def first_path(state: str, answers: Answers) -> tuple[str, ...] | None:
    """Return the first path to a state on which every message is read; None if there is none."""
    if state == "leading_system":
        return ("system",) if answers.is_accepted("leading_system", "system") else None
    return next((path for path in PATHS_TO_STATE[state] if _is_read(path, answers)), None)


def _is_read(path: Sequence[str], answers: Answers) -> bool:
    fields = ["follows"]
    if path[:1] == ("system",):
        fields.append("follows_with_system")
    state = "start"
    if path[:1] == ("system",) and answers.is_accepted("leading_system", "system"):
        # Read, though its text may be shown elsewhere: some templates do so in the last user turn.
        state, path = "leading_system", path[1:]
    for kind in path:
        if not any(answers.is_accepted(field, state, kind) for field in fields):
            return False
        state = after(state, kind)
    return True
