"""Which result answers which call, by the ids that the client gave them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from ..messages.message import is_empty, tool_calls
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
        mixed: Those of them whose id stands twice in one message, and in another message as well.
        replied: The ids that have a result at all.
    """

    owners: Sequence[CallPlace | None]
    repeated: Mapping[CallPlace, object]
    mixed: Collection[CallPlace]
    replied: Collection[object]


class _Calls:
    """The calls of one id that stand together.

    Attributes:
        call_id: The id.
        places: Where they stand.
        taken: How many of them have their result, but for the last one.
        are_answered: Whether the last one has its result, too.
    """

    __slots__ = ("are_answered", "call_id", "places", "taken")

    def __init__(self, call_id: object) -> None:
        self.call_id = call_id
        self.places: list[CallPlace] = []
        self.taken = 0
        self.are_answered = False

    def answer(self) -> CallPlace:
        """Return the call that the next result answers."""
        place = self.places[self.taken]
        if self.taken + 1 < len(self.places):
            self.taken += 1
        else:
            self.are_answered = True
        return place

    @property
    def are_mixed(self) -> bool:
        """Whether two of them stand in one message, and one in another."""
        return 1 < len({place.turn for place in self.places}) < len(self.places)


def says_nothing(turn: Turn) -> bool:
    """Return whether a turn stands between others as if it was not there.

    It is empty, and neither the user's nor the assistant's, nor a result.
    """
    speaks = turn.kind in ("user", "assistant", "call", "tool")
    return not speaks and is_empty(turn.message)


def pair(turns: Sequence[Turn]) -> Pairing:
    """Return which result answers which call.

    Of several calls with one id that stand together, each is answered once, in their order, and
    the last one by all further results. Once something else was said, an id that is called again
    is a new one.
    """
    owners: list[CallPlace | None] = []
    groups: list[_Calls] = []
    current: dict[object, _Calls] = {}
    replied: set[object] = set()
    said = -1  # the position of what was said last, before the calls that stand together
    for at, turn in enumerate(turns):
        owner = None
        if turn.kind == "tool":
            call_id = turn.message.get("tool_call_id")
            if call_id in current:
                owner = current[call_id].answer()
                replied.add(call_id)
        elif turn.kind != "call":
            said = said if says_nothing(turn) else at
        else:
            for number, call in enumerate(tool_calls(turn.message)):
                call_id = call.get("id")
                known = current.get(call_id)
                if known is None or known.are_answered or known.places[-1].turn < said:
                    known = current[call_id] = _Calls(call_id)
                    groups.append(known)
                known.places.append(CallPlace(at, number))
        owners.append(owner)
    ids = {place: group.call_id for group in groups for place in group.places[1:]}
    mixed = {place for group in groups if group.are_mixed for place in group.places[1:]}
    return Pairing(owners, ids, mixed, replied)
