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
from ..profile.states import FRONT_KINDS
from .call_check import need_no_settling
from .change import Change
from .context import Draft
from .ending import close
from .leading_system import folds_developer, gather_front
from .scan import Passage, opens, walk
from .turn import Turn, joins
from .turn_placer import Arrangement


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
    fronted = messages[0]["role"] == "system"
    passage = Passage.of(rules, fronted=fronted)
    ahead = iter(messages)
    opened = passage.opens and not (fronted and not opens(next(ahead), passage))
    if opened:
        called: list[Message] = []
        begin = passage.places["front" if fronted else "start"]
        stop, place = walk(ahead, begin, passage, called)
        if (
            stop is None
            and place.closes
            and (place.state.startswith("user") or any(map(_is_user, messages)))
            and (not called or need_no_settling(messages, called, rules))
        ):
            return messages, ()
    given = messages
    if not isinstance(messages, (list, tuple)):
        messages = list(messages)  # of which it can be told how much a walk has left
    draft = Draft(rules, separator, placeholder, prefill=False)
    front = [Turn.of(each, at) for at, each in enumerate(itertools.takewhile(_is_front, messages))]
    if any(turn.kind == "developer" for turn in front) and folds_developer(rules):
        return None
    arrangement = Arrangement(draft, messages)
    arrangement.place_all(front if opened and len(front) == fronted else gather_front(front, draft))
    if not _place_rest(messages, front, arrangement):
        return None
    if arrangement.closes():
        repaired, turns = arrangement.arranged()
    else:
        turns = close(arrangement.turns, draft)
        repaired = [turn.message for turn in turns]
    changes = (*draft.changes, *joins(turns))
    return (repaired, changes) if changes else (given, ())


def _place_rest(
    messages: Sequence[Message], front: Sequence[Turn], arrangement: Arrangement
) -> bool:
    """Place what comes after the front; give whether nothing needs the other steps after all."""
    rules = arrangement.draft.rules
    size, begin = len(messages), len(front)
    alike = all(turn.kind == "system" for turn in front)
    opening = messages[begin]["role"] if begin < size else "user"
    keeps_late = alike and "system" not in rules.gathered and opening not in ("tool", "function")
    called: list[Message] = []
    ahead = iter(messages)
    for _ in range(begin):
        next(ahead)
    arrangement.at_front = False
    while begin < size:
        known = len(called)
        stop, state = arrangement.walk(ahead, called)
        end = size if stop is None else size - length_hint(ahead) - 1
        arrangement.take_over(begin, end, state, called[known:])
        begin = end + 1
        if stop is None:
            break
        role = stop["role"]
        if role in FRONT_KINDS and not (keeps_late and role == "system" and not is_empty(stop)):
            return False
        if len(stop) != 2 or role == "tool" or "content" not in stop:
            called.append(stop)
        arrangement.place(Turn.of(stop, end))
    return not called or need_no_settling(messages, called, rules)


def _is_front(message: Message) -> bool:
    return message["role"] in FRONT_KINDS


def _is_user(message: Message) -> bool:
    return bool(message["role"] == "user")
