"""Tool call ids in the form that a template takes."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence

from ..messages.message import is_empty, tool_calls
from .context import RepairContext
from .turn import Turn

NINE_CHARS = re.compile(r"[A-Za-z0-9]{9}")


ID_PRIME = 61803398903
"""A short call id is the remainder of a long one by this prime, which nine hexadecimal digits hold.

A template can compute a remainder and no hash, and templates/relax.jinja gives the same ids.
"""


def with_short_ids(turns: Sequence[Turn], draft: RepairContext) -> Iterator[Turn]:
    shortened: set[object] = set()
    for turn in turns:
        message = dict(turn.message)
        if turn.kind == "call":
            calls = tool_calls(turn.message)
            shortened.update(call.get("id") for call in calls)
            short = [{**call, "id": _short_id(call.get("id"))} for call in calls]
            if short != list(calls):
                message["tool_calls"] = short
        elif turn.kind == "tool":
            given = message.get("tool_call_id")
            if given in shortened or draft.rules.long_result_ids != "accepted":
                message["tool_call_id"] = _short_id(given)
        if message == turn.message:
            yield turn
        else:
            draft.note("tools", turn, "the template wants tool call ids of 9 letters and digits")
            yield turn._replace(message=message)


def _short_id(call_id: object) -> str:
    """A call id of 9 letters and digits: the given one, or one that always follows from it."""
    text = str(call_id)
    if NINE_CHARS.fullmatch(text):
        return text
    return f"{int.from_bytes(text.encode(errors='surrogatepass'), 'big') % ID_PRIME:09x}"


def with_unrepeated_ids(turns: Sequence[Turn], draft: RepairContext) -> Iterator[Turn]:
    """Give an id that was used before a new one, for the call and its results alike."""
    # Some templates forget the id of a result that stands alone, or first among several.
    forgets = draft.rules.repeated_lone_ids == "accepted"
    used: set[str] = set()
    answered: set[str] = set()
    now: dict[str, str] = {}
    first = surely_first = True

    # Counted: what would follow from an id alone could be taken as well, and lead back to it.
    new_ids = map("{:09x}".format, itertools.count(1))

    def unused(call_id: str) -> str:
        if call_id not in used:
            return call_id
        return next(new for new in new_ids if new not in used and new not in now)

    for turn in turns:
        message = dict(turn.message)
        if turn.kind == "call":
            calls = []
            for call in tool_calls(turn.message):
                given = str(call.get("id"))
                now[given] = unused(given)
                calls.append(call if now[given] == given else {**call, "id": now[given]})
                if not forgets:
                    used.add(now[given])
            if calls != list(tool_calls(turn.message)):
                message["tool_calls"] = calls
        elif turn.kind == "tool":
            given = str(message.get("tool_call_id"))
            again = not is_empty(message) and (
                first and now.get(given) in used if forgets else now.get(given) in answered
            )
            if given not in now or again:
                now[given] = unused(given)
            if not (forgets and surely_first):
                used.add(now[given])
            answered.add(now[given])
            if now[given] != given:
                message["tool_call_id"] = now[given]
        # One that is passed over for its id leaves its place to the next.
        first = turn.kind != "tool" or (first and now[given] in used)
        if turn.kind != "tool" and not is_empty(turn.message):  # an empty one may be left out
            surely_first = True
        elif turn.kind == "tool":
            surely_first = False
        if message == turn.message:
            yield turn
        else:
            draft.note("tools", turn, "the template reads the same tool call id only once")
            yield turn._replace(message=message)
