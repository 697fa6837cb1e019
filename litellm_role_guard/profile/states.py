"""The kinds of messages, and the states in which a conversation may stand."""

from __future__ import annotations

from typing import Literal

Kind = Literal["user", "assistant", "call", "tool", "system", "developer", "function"]
"""What a message is to a template: its role, with `call` for an assistant message that calls
tools. System, developer and function messages are meant where they stand after the first turn."""


KINDS: tuple[Kind, ...] = ("user", "assistant", "call", "tool", "system", "developer", "function")


STATES = (
    "start",
    "leading_system",
    "user",
    "user+call",
    "user+tool",
    "user+system",
    "assistant",
    "assistant+call",
    "assistant+tool",
    "assistant+system",
)
"""Where a conversation stands: nothing said; only system text said; else the last plain turn and,
after `+`, what came since. Templates that do not count tool turns go by the first half alone."""


BEFORE_TURNS = ("start", "leading_system")
"""The states in which nobody but the operator has spoken yet."""


UNKNOWN = "other"
"""Where it stands after a role of the template's own: nothing is known of what may follow."""


def after(state: str, kind: str) -> str:
    """Return the state in which a conversation stands after a message of this kind."""
    if kind in ("user", "assistant"):
        return kind
    if kind not in KINDS:
        return UNKNOWN
    if kind in SYSTEM_KINDS and state in BEFORE_TURNS:
        return "leading_system"
    # Where no plain turn was counted yet, a user turn is due, as it is after an assistant's.
    counted = "user" if state.startswith("user") else "assistant"
    return f"{counted}+{kind if kind in ('call', 'tool') else 'system'}"


SYSTEM_KINDS: tuple[Kind, ...] = ("system", "developer")
"""The kinds that may stand before the first turn."""


SYSTEM_RUNS = (
    "system",
    "developer",
    "system system",
    "system developer",
    "developer system",
    "developer developer",
    "system empty",
    "system system system",
)
"""Runs of system and developer messages; `empty` is a system message without text."""


LATE_ROLES: tuple[Kind, ...] = ("system", "developer", "function")
"""The kinds that are at home before the first turn or in another format, not between turns."""
