"""Repairing a conversation of which most messages stay as they are, without turning them all over.

What comes of it is what the steps of `repair` give. Here it is told at a glance that the first of
them have nothing to do, which holds for nearly all conversations; the others are left to the steps.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from operator import length_hint

from ..messages.message import Message, is_empty
from ..profile.rules import Rules
from ..profile.states import SYSTEM_KINDS
from .call_check import tool_calls_are_clean
from .change import Change
from .context import RepairContext
from .ending import ensure_valid_ending
from .leading_system import merge_leading_system, merges_developer
from .scan import ScanTable, opens, scan
from .turn import Turn, merge_changes
from .turn_placer import TurnPlacer


def repaired_in_place(
    messages: Sequence[Message], rules: Rules, separator: str, placeholder: str
) -> tuple[Sequence[Message], tuple[Change, ...]] | None:
    """Repair a conversation in which nothing but its front and its turns is in the way.

    Args:
        messages: The conversation.
        rules: What its template takes.
        separator: What stands between two joined texts.
        placeholder: The text of a turn that has to be invented.

    Returns:
        The messages, the very list that was given where nothing is in the way, and what was done;
        None where something else may be in the way.
    """
    if not messages:
        return messages, ()
    has_leading_system = messages[0]["role"] == "system"
    table = ScanTable.of(rules, has_leading_system=has_leading_system)
    ahead = iter(messages)
    opened = table.opens and not (has_leading_system and not opens(next(ahead), table))
    if opened:
        called: list[Message] = []
        begin = table.states["leading_system" if has_leading_system else "start"]
        stop, place = scan(ahead, begin, table, called)
        if (
            stop is None
            and place.closes
            and (place.state.startswith("user") or any(map(_is_user, messages)))
            and (not called or tool_calls_are_clean(messages, called, rules))
        ):
            return messages, ()
    given = messages
    if not isinstance(messages, (list, tuple)):
        messages = list(messages)  # of which it can be told how much a walk has left
    draft = RepairContext(rules, separator, placeholder, prefill=False)
    front = [Turn.of(each, at) for at, each in enumerate(itertools.takewhile(_is_front, messages))]
    if any(turn.kind == "developer" for turn in front) and merges_developer(rules):
        return None
    placer = TurnPlacer(draft, messages)
    placer.place_all(
        front if opened and len(front) == has_leading_system else merge_leading_system(front, draft)
    )
    if not _place_rest(messages, front, placer):
        return None
    if placer.closes():
        repaired, turns = placer.arranged()
    else:
        turns = ensure_valid_ending(placer.turns, draft)
        repaired = [turn.message for turn in turns]
    changes = (*draft.changes, *merge_changes(turns))
    return (repaired, changes) if changes else (given, ())


def _place_rest(messages: Sequence[Message], front: Sequence[Turn], placer: TurnPlacer) -> bool:
    """Place what comes after the front; give whether nothing needs the other steps after all."""
    rules = placer.draft.rules
    size, begin = len(messages), len(front)
    alike = all(turn.kind == "system" for turn in front)
    opening = messages[begin]["role"] if begin < size else "user"
    keeps_late = (
        alike and "system" not in rules.hoisted_kinds and opening not in ("tool", "function")
    )
    called: list[Message] = []
    ahead = iter(messages)
    for _ in range(begin):
        next(ahead)
    placer.at_front = False
    while begin < size:
        known = len(called)
        stop, state = placer.scan(ahead, called)
        end = size if stop is None else size - length_hint(ahead) - 1
        placer.take_over(begin, end, state, called[known:])
        begin = end + 1
        if stop is None:
            break
        role = stop["role"]
        if role in SYSTEM_KINDS and not (keeps_late and role == "system" and not is_empty(stop)):
            return False
        if len(stop) != 2 or role == "tool" or "content" not in stop:
            called.append(stop)
        placer.place(Turn.of(stop, end))
    return not called or tool_calls_are_clean(messages, called, rules)


def _is_front(message: Message) -> bool:
    return message["role"] in SYSTEM_KINDS


def _is_user(message: Message) -> bool:
    return bool(message["role"] == "user")
