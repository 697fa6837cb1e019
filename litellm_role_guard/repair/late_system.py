"""System messages after the first turn, where the operator wants them all at the front."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..messages.message import Message, is_empty
from ..profile.states import SYSTEM_KINDS
from .change import Change

_WHY = "late_system: front"


class SystemInFront(NamedTuple):
    """A conversation whose system text stands before its first turn.

    Attributes:
        messages: The very list that was given where nothing had to move.
        origins: By message: its position in what was given.
        changes: What was moved.
    """

    messages: Sequence[Message]
    origins: Sequence[int]
    changes: tuple[Change, ...] = ()


def with_system_in_front(messages: Sequence[Message]) -> SystemInFront:
    """Move later system and developer messages behind those at the front, in their order.

    Args:
        messages: A conversation in which `find_validation_error` finds none. It is not changed.
    """
    turns = [at for at, message in enumerate(messages) if message["role"] not in SYSTEM_KINDS]
    system = [at for at, message in enumerate(messages) if message["role"] in SYSTEM_KINDS]
    moved = [at for at in system if turns and at > turns[0] and not is_empty(messages[at])]
    if not moved:
        return SystemInFront(messages, range(len(messages)))
    origins = [*system, *turns]
    changes = tuple(Change(str(messages[at]["role"]), (at,), _WHY) for at in moved)
    return SystemInFront([messages[at] for at in origins], origins, changes)
