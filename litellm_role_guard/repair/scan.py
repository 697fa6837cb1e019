"""Going over messages that are taken and read as they are, as fast as that can be told.

Most conversations are fine, and nearly all messages of the others. A walk passes over these at a
cost far below that of placing each one, and stops at whatever it cannot tell at a glance: that may
be fine all the same, and is for `TurnPlacer.place` to decide.
"""

from __future__ import annotations

import weakref
from collections.abc import Container, Iterator, Mapping
from typing import NamedTuple

from ..messages.message import Message, is_empty, tool_calls
from ..profile.rules import Rules
from ..profile.states import KINDS, STATES, SYSTEM_KINDS, UNKNOWN, Kind, after
from .context import is_not_read, rejects_form
from .turn import REASONING

_ANY_NUMBER = 1 << 30


# Under these, since their messages' role alone does not tell what they are.
_CALL, _RESULT = object(), object()


class ScanState(dict[object, "ScanState"]):
    """Where a conversation stands: the place after each message that is taken and read there.

    Attributes:
        state: Its name among `profile.STATES`.
        closes: Whether a reply may be asked for there, once the user has said something.
    """

    __slots__ = ("closes", "state")

    def __init__(self, state: str, *, closes: bool) -> None:
        super().__init__()
        self.state = state
        self.closes = closes


class ScanTable(NamedTuple):
    """What rules let through without a second look.

    Attributes:
        opens: Whether a system message is read at the front, where there is one.
        states: Where a conversation may stand, by the states' names.
        parts: Of how many parts a content may be, by the kind of message.
        answering: The states in which a tool result has to answer an open call.
        reasoning: Whether a message may hold what the assistant thought.
    """

    opens: bool
    states: Mapping[str, ScanState]
    parts: Mapping[str, int]
    answering: frozenset[str]
    reasoning: bool

    @classmethod
    def of(cls, rules: Rules, *, has_leading_system: bool) -> ScanTable:
        """Give what rules let through; it is derived from them once.

        Args:
            rules: The rules.
            has_leading_system: Whether a system message stands at the front.
        """
        kept = _scan_tables[has_leading_system].get(id(rules))
        if kept is not None and kept[0]() is rules:
            return kept[1]
        table = cls(
            opens=not has_leading_system or not is_not_read(rules.leading_system, "system"),
            states=_places(rules, has_leading_system=has_leading_system),
            parts={kind: _most_parts(rules, kind) for kind in KINDS},
            answering=frozenset(
                state
                for state in STATES
                if rules.stray_results.get(state.rpartition("+")[2], "accepted") != "accepted"
            ),
            reasoning=rules.reasoning == "accepted",
        )
        kept_ones, key = _scan_tables[has_leading_system], id(rules)
        kept_ones[key] = weakref.ref(rules, lambda _: kept_ones.pop(key, None)), table
        return table


# By identity: rules are never changed, and hold dictionaries, which cannot be hashed.
_ScanTables = dict[int, tuple["weakref.ref[Rules]", ScanTable]]

_scan_tables: tuple[_ScanTables, _ScanTables] = {}, {}


def _places(rules: Rules, *, has_leading_system: bool) -> Mapping[str, ScanState]:
    # A role of the template's own leads to a place of which nothing is known.
    states = {
        state: ScanState(
            state,
            closes=rules.may_end(state)
            and not (has_leading_system and is_not_read(rules.ends_with_system, state)),
        )
        for state in (*STATES, UNKNOWN)
    }
    keys: dict[Kind, object] = {"call": _CALL, "tool": _RESULT}
    for state in STATES:
        place = states[state]
        for kind in KINDS:
            # Whether system text, or an empty message, is in the way is not told at a glance.
            if kind in SYSTEM_KINDS or kind in rules.ignored_empty.get(state, {}):
                continue
            if rules.may_follow(state, kind, has_leading_system=has_leading_system):
                place[keys.get(kind, kind)] = states[after(state, kind)]
    return states


def _most_parts(rules: Rules, kind: Kind) -> int:
    if rules.other_parts != "accepted":
        return 0
    return 1 if rejects_form(rules.parts, kind) else _ANY_NUMBER


def scan(
    ahead: Iterator[Message],
    place: ScanState,
    table: ScanTable,
    calls: list[Message],
    open_calls: Container[object] = (),
) -> tuple[Message | None, ScanState]:
    """Pass over messages up to the first one that has to be looked at.

    Calls are passed over by where they stand; whether they are in a form that is read is
    `calls.need_no_settling`'s to tell.

    Args:
        ahead: The messages; the one that the walk stops at is taken from them, too.
        place: Where the conversation stands.
        table: What is let through.
        calls: Where the messages with tool calls and results are put that it passes over.
        open_calls: The ids of the tool calls that wait for their results.

    Returns:
        The message it stops at, None at the end, and where the conversation stands before it.
    """
    # This loop is what every request pays for, so that it is written for speed.
    parts, answering = table.parts, table.answering
    try:
        for message in ahead:
            if len(message) == 2:
                content = message["content"]
                if not content or (
                    type(content) is not str
                    and (type(content) is not list or len(content) > parts[message["role"]])
                ):
                    return message, place
                place = place[message["role"]]
            elif message["role"] == "tool":
                if len(message) != 3 and (len(message) != 4 or "name" not in message):
                    return message, place
                if type(message["content"]) is not str or not message["content"]:
                    return message, place
                call_id = message["tool_call_id"]
                if answering and not place.state.endswith(("+call", "+tool")):
                    open_calls = ()
                elif place.state in answering and call_id not in open_calls:
                    return message, place
                place = place[_RESULT]
                calls.append(message)
            elif not _is_told(message, table):
                return message, place
            elif message.get("tool_calls") and message["role"] == "assistant":
                place = place[_CALL]
                calls.append(message)
                if answering:
                    open_calls = {call.get("id") for call in tool_calls(message)}
            else:
                place = place[message["role"]]
    except KeyError:
        return message, place
    return None, place


def opens(message: Message, table: ScanTable) -> bool:
    """Tell at a glance that a system message is read at the front.

    Args:
        message: The message.
        table: What is let through, where a system message may stand there.
    """
    content = message.get("content")
    if isinstance(content, str):
        return bool(content.strip()) and (len(message) == 2 or _is_told(message, table))
    return not is_empty(message) and _is_told(message, table)


def _is_told(message: Message, table: ScanTable) -> bool:
    """Tell that a message has nothing but what the template is shown, and some of it."""
    content = message.get("content")
    if type(content) is not str or not content:
        if content:
            if not _has_parts(content, message["role"], table):
                return False
        elif not tool_calls(message):
            return False
    if message.get("refusal") or message.get("function_call"):
        return False
    return table.reasoning or not any(message.get(key) for key in REASONING)


def _has_parts(content: object, role: str, table: ScanTable) -> bool:
    return isinstance(content, list) and len(content) <= table.parts.get(role, 0)
