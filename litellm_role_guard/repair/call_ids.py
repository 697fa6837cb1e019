"""Tool call ids in the form that a template takes."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from typing import Any

from ..messages.message import Message, call_name, is_empty, tool_calls
from .change import Change
from .context import RepairContext, StepResult
from .pairing import CallPlace, pair
from .policy import RepairPolicy
from .turn import Turn

NINE_CHARS = re.compile(r"[A-Za-z0-9]{9}")

ID_PRIME = 61803398903
"""A short call id is the remainder of a long one by this prime, which nine hexadecimal digits hold.

A template can compute a remainder and no hash, and relax/relax.jinja gives the same ids.
"""


def with_own_ids(turns: list[Turn], context: RepairContext) -> StepResult:
    """Put an id of its own on a call that shares one with a call beside it, and on its result.

    Where ids are shown, and need not differ, only what they leave open is changed.
    """
    policy = context.policy
    needs_all = policy.single_calls or policy.new_ids or not policy.takes_calls
    return _renamed(turns, context, only_mixed=not needs_all)


def with_all_own_ids(turns: list[Turn], context: RepairContext) -> StepResult:
    """Put an id of its own on every call that shares one with a call beside it."""
    return _renamed(turns, context, only_mixed=False)


def _renamed(turns: list[Turn], context: RepairContext, *, only_mixed: bool) -> StepResult:
    owners, shared, mixed, replied = pair(turns)
    repeated = {
        at
        for at, call_id in shared.items()
        if context.policy.unique_ids or (call_id in replied and (at in mixed or not only_mixed))
    }
    if not repeated:
        return StepResult(turns, [])
    seen: set[object] = set()
    new_ids = map("{:09x}".format, itertools.count(1))

    def own_id(place: CallPlace, call: Message) -> str | None:
        new_id = next(new for new in new_ids if new not in seen) if place in repeated else None
        seen.add(call.get("id") if new_id is None else new_id)
        return new_id

    return _with_ids(turns, owners, own_id, "two of the calls have the same id")


def with_names_in_ids(turns: list[Turn], context: RepairContext) -> StepResult:
    """Put the name of the called tool into each id that lacks it, and into that of its result.

    The form is that of models whose calls have no other place for it: `functions.NAME:COUNT`.
    """
    numbers = itertools.count()  # of the calls

    def telling_id(place: CallPlace, call: Message) -> str | None:
        name, number = call_name(call), next(numbers)
        return None if name in str(call.get("id")) else f"functions.{name}:{number}"

    why = "the template shows no name of a call but its id"
    return _with_ids(turns, pair(turns).owners, telling_id, why)


def _with_ids(
    turns: list[Turn],
    owners: Sequence[CallPlace | None],
    new_id: Callable[[CallPlace, Message], str | None],
    why: str,
) -> StepResult:
    """Put new ids on calls, and on the results that answer them.

    Args:
        turns: The conversation.
        owners: The call that each turn answers, or None, as `pair` finds it.
        new_id: Returns the new id of a call, by its place; None where it keeps its own. It is
            asked about all calls in their order.
        why: What the changes are reported with.
    """
    new: dict[CallPlace | None, str] = {}
    made: list[Turn] = []
    changes: list[Change] = []
    for at, (turn, owner) in enumerate(zip(turns, owners, strict=True)):
        message: Message = turn.message
        if turn.kind == "call":
            calls = []
            for number, call in enumerate(tool_calls(message)):
                place = CallPlace(at, number)
                call_id = new_id(place, call)
                if call_id is not None:
                    new[place] = call_id
                    call = {**call, "id": call_id}
                calls.append(call)
            message = {**message, "tool_calls": calls}
        elif owner in new:
            message = {**message, "tool_call_id": new[owner]}
        if message != turn.message:
            changes.append(turn.change("tools", why))
            turn = turn._replace(message=message)
        made.append(turn)
    return StepResult(made, changes)


def confuses_ids(turns: Sequence[Turn], made: Sequence[Turn]) -> bool:
    """Return whether one of several calls with the same id was written out, and not the others.

    Then that id no longer tells whether a result is that of a call in words.

    Args:
        turns: A conversation.
        made: What was made of it.
    """
    written = {call_id for turn in made for call_id in turn.written_calls}
    if not written:
        return False
    _, repeated, _, replied = pair(turns)
    return any(call_id in written and call_id in replied for call_id in repeated.values())


def with_short_ids(turns: list[Turn], context: RepairContext) -> StepResult:
    """Shorten call ids to nine letters and digits, the results' along with the calls'."""
    shortened: set[object] = set()
    made: list[Turn] = []
    changes: list[Change] = []
    for turn in turns:
        message: dict[str, Any] = dict(turn.message)
        if turn.kind == "call":
            calls = tool_calls(turn.message)
            shortened.update(call.get("id") for call in calls)
            short = [{**call, "id": _short_id(call.get("id"))} for call in calls]
            if short != list(calls):
                message["tool_calls"] = short
        elif turn.kind == "tool":
            given = message.get("tool_call_id")
            if given in shortened or context.policy.short_result_ids:
                message["tool_call_id"] = _short_id(given)
        if message != turn.message:
            why = "the template wants tool call ids of 9 letters and digits"
            changes.append(turn.change("tools", why))
            turn = turn._replace(message=message)
        made.append(turn)
    return StepResult(made, changes)


def _short_id(call_id: object) -> str:
    """Return an id of nine letters and digits: this one, or one that always follows from it."""
    text = str(call_id)
    if NINE_CHARS.fullmatch(text):
        return text
    return f"{int.from_bytes(text.encode(errors='surrogatepass'), 'big') % ID_PRIME:09x}"


def with_unrepeated_ids(turns: list[Turn], context: RepairContext) -> StepResult:
    """Replace ids that were used before, for the call and its results alike."""
    renaming = _Renaming(context.policy)
    made: list[Turn] = []
    changes: list[Change] = []
    for turn in turns:
        message = renaming.renamed(turn)
        if message != turn.message:
            why = "the template reads the same tool call id only once"
            changes.append(turn.change("tools", why))
            turn = turn._replace(message=message)
        made.append(turn)
    return StepResult(made, changes)


class _Renaming:
    """The ids that a template has seen, and what the client's ids stand for now.

    Args:
        policy: What the template needs. Some forget the id of a result that stands alone, or first
            among several.
    """

    def __init__(self, policy: RepairPolicy) -> None:
        self._forgets = policy.forgets_lone_ids
        self._rejects_blank = policy.rejects_blank
        self._used: set[str] = set()
        self._answered: set[str] = set()
        self._now: dict[str, str] = {}
        # Whether the next result is the first after a turn; surely so if that turn is not empty.
        self._first = self._surely_first = True
        # Counted: an id that followed from another one could be taken too, and lead back to it.
        self._new_ids = map("{:09x}".format, itertools.count(1))

    def renamed(self, turn: Turn) -> Message:
        """Return the turn's message with the ids that the template reads."""
        if turn.kind == "tool":
            return self._renamed_result(turn.message)
        message = self._renamed_calls(turn.message) if turn.kind == "call" else turn.message
        self._first = True
        if not is_empty(turn.message) or self._is_kept_empty(turn):
            self._surely_first = True
        return message

    def _is_kept_empty(self, turn: Turn) -> bool:
        """Return whether an empty message stays a turn; others may be left out."""
        return turn.kind in ("user", "assistant") and turn.kind not in self._rejects_blank

    def _renamed_calls(self, message: Message) -> Message:
        calls: list[Any] = []
        for call in tool_calls(message):
            given = str(call.get("id"))
            now = self._now[given] = self._unused(given)
            calls.append(call if now == given else {**call, "id": now})
            if not self._forgets:
                self._used.add(now)
        return message if calls == list(tool_calls(message)) else {**message, "tool_calls": calls}

    def _renamed_result(self, message: Message) -> Message:
        given = str(message.get("tool_call_id"))
        known = self._now.get(given)
        if self._forgets:
            again = self._first and known in self._used
        else:
            again = known in self._answered
        if known is None or (again and not is_empty(message)):
            known = self._now[given] = self._unused(given)
        # One that is not read for its id leaves its place to the next.
        if not (self._forgets and self._surely_first):
            self._used.add(known)
        self._first = self._first and known in self._used
        self._surely_first = False
        self._answered.add(known)
        return message if known == given else {**message, "tool_call_id": known}

    def _unused(self, call_id: str) -> str:
        if call_id not in self._used:
            return call_id
        return next(new for new in self._new_ids if new not in self._used and new not in self._now)
