"""Which result answers which call, by the ids that the client gave them."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from ..messages.message import tool_calls
from .turn import Turn


class CallPlace(NamedTuple):
    """Where a call stands.

    Attributes:
        turn: The position of the turn that makes it.
        call: Its position among the calls of this turn.
    """

    turn: int
    call: int


class Pairing(NamedTuple):
    """Which result answers which call.

    Attributes:
        owners: For each turn the call that it answers; None for what is no result of a known call.
        repeated: The calls with the id of one before them that still waits for its result: the id
            of each.
        replied: The ids that have a result at all.
    """

    owners: Sequence[CallPlace | None]
    repeated: Mapping[CallPlace, object]
    replied: Collection[object]


def pair(turns: Sequence[Turn]) -> Pairing:
    """Return which result answers which call.

    Of several calls with one id that stand together, each is answered once, in their order, and
    the last one by all further results. Once something else was said, an id that is called again
    is a new one.
    """
    owners: list[CallPlace | None] = []
    repeated: dict[CallPlace, object] = {}
    waiting: dict[object, deque[CallPlace]] = {}
    answered: set[object] = set()  # the ids whose last call has its result
    replied: set[object] = set()
    said = -1  # the position of what was said last, before the calls that stand together
    for at, turn in enumerate(turns):
        owner = None
        if turn.kind == "tool":
            call_id = turn.message.get("tool_call_id")
            places = waiting.get(call_id)
            if places:
                owner = places[0]
                replied.add(call_id)
                if len(places) > 1:
                    places.popleft()
                else:
                    answered.add(call_id)
        elif turn.kind != "call":
            said = at
        else:
            for number, call in enumerate(tool_calls(turn.message)):
                call_id, place = call.get("id"), CallPlace(at, number)
                places = waiting.setdefault(call_id, deque())
                if places and (call_id in answered or places[-1].turn < said):
                    places.clear()
                    answered.discard(call_id)
                if places:
                    repeated[place] = call_id
                places.append(place)
        owners.append(owner)
    return Pairing(owners, repeated, replied)
