"""Responses and the conversations behind them, which a vLLM without a store does not have.

A client of /v1/responses may send its new message alone, and name the response that it goes on
from. What was asked and answered up to there is kept here, in this process and nowhere else.

    owner ─ response id ─► Turn ─before─► Turn ─before─► Turn
                           asked, answered   ...            the first of the conversation

Each turn is kept once, however many later ones go on from it, and is evicted with the last of them.
"""

from __future__ import annotations

import json
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

from .foreign_items import is_reference
from .stored_turn import AskedItems, StoredTurn

MAX_BYTES = 64_000_000
"""How much is kept of all conversations together, as UTF-8 JSON."""


MAX_RESPONSES = 10_000
"""How many responses can be gone on from. Each turn of a chat is one."""


MAX_AGE = 24 * 3600.0
"""For how many seconds a response can be gone on from."""


_OVER = ("completed", "incomplete")


class PendingResponse:
    """A request whose answer is to be remembered.

    Args:
        memory: Where to keep it.
        owner: Who asks.
        asked: The items of the request's own `input`.
        before: The turn that it goes on from, or None.
    """

    def __init__(
        self, memory: ResponseStore, owner: Hashable, asked: AskedItems, before: StoredTurn | None
    ) -> None:
        self._memory = memory
        self._owner = owner
        self._asked = asked
        self._before = before

    @property
    def continues(self) -> bool:
        """Whether it goes on from an earlier response."""
        return self._before is not None

    def items(self) -> list[Any]:
        """Return the whole conversation as the items of an `input`, the question at its end."""
        turns = () if self._before is None else reversed(list(self._before.chain))
        return [*(item for turn in turns for item in turn.items()), *json.loads(self._asked.text)]

    def answered(self, response: Mapping[str, Any]) -> None:
        """Remember the question and its answer.

        Args:
            response: The backend's response object. One that is not over, or failed, is not kept.
        """
        response_id, output = response.get("id"), response.get("output")
        if not isinstance(response_id, str) or not isinstance(output, list):
            return
        if response.get("status") in _OVER:
            turn = StoredTurn(self._before, response_id, self._asked, response)
            self._memory.put(self._owner, response_id, turn)


class ResponseStore:
    """The latest responses, each with the conversation that it ends.

    Evicts what is too old, then the oldest of the owner that has most: one that asks much does not
    cost the others their chats. A response's age counts from its answer;
    a chat that goes on has a new one with every turn.

    Args:
        max_bytes: As `MAX_BYTES`.
        max_responses: As `MAX_RESPONSES`.
        max_age: As `MAX_AGE`.
        clock: Gives the time in seconds.
    """

    def __init__(
        self,
        *,
        max_bytes: int = MAX_BYTES,
        max_responses: int = MAX_RESPONSES,
        max_age: float = MAX_AGE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_bytes = max_bytes
        self._max_responses = max_responses
        self._max_age = max_age
        self._clock = clock
        # In the order of their age: by owner and response id, since when, and what.
        self._known: OrderedDict[tuple[Hashable, str], tuple[float, StoredTurn]] = OrderedDict()
        self._names: dict[Hashable, OrderedDict[str, None]] = {}  # the same ids, by owner
        # By owner and an item's id: the latest turn that holds the item, and where.
        self._items: dict[tuple[Hashable, str], tuple[StoredTurn, int]] = {}
        self._deleted: OrderedDict[tuple[Hashable, str], float] = OrderedDict()  # since when
        self._held: Counter[Hashable] = Counter()  # bytes by owner
        self._size = 0

    def __len__(self) -> int:
        return len(self._known)

    @property
    def size(self) -> int:
        """How much is held, in bytes."""
        return self._size

    def begin(
        self, owner: Hashable, request_input: str | Sequence[Any], before: str | None = None
    ) -> PendingResponse | None:
        """Return the request as one whose answer is to be stored.

        None where it goes on from a response that is not known.

        Args:
            owner: Who asks. Nobody else can go on from the response.
            request_input: The request's `input`.
            before: Its `previous_response_id`, as the backend gave it.

        Raises:
            TypeError: The input cannot be written as JSON.
        """
        turn = None
        if before is not None:
            turn = self.turn(owner, before)
            if turn is None:
                return None
        return PendingResponse(self, owner, AskedItems(request_input), turn)

    def turn(self, owner: Hashable, response_id: str) -> StoredTurn | None:
        """Return the turn that a response ends; None where it is not known.

        Args:
            owner: Who asks.
            response_id: The response's id, as the backend gave it.
        """
        self._forget_old()
        found = self._known.get((owner, response_id))
        return None if found is None else found[1]

    def delete(self, owner: Hashable, response_id: str) -> bool:
        """Forget a response for good; return whether it was known.

        What later responses go on from stays for them, and nothing else leads to it any more.

        Args:
            owner: Who asks.
            response_id: The response's id, as the backend gave it.
        """
        turn = self.turn(owner, response_id)
        if turn is None:
            return False
        self._forget((owner, response_id))
        self._forget_items(owner, turn)
        # A backend with a store of its own would know it still.
        self._deleted[owner, response_id] = self._clock()
        if len(self._deleted) > self._max_responses:
            self._deleted.popitem(last=False)
        return True

    def is_deleted(self, owner: Hashable, response_id: str) -> bool:
        """Return whether a response was deleted, as far as that is still known."""
        self._forget_old()
        return (owner, response_id) in self._deleted

    def with_references(self, owner: Hashable, request_input: object) -> list[Any] | None:
        """Return an input with the items that its references stand for.

        Each is put in once, however often it is referred to, so that an input cannot grow beyond
        what is held. References to unknown items stay as they are.

        Args:
            owner: Who asks.
            request_input: The request's `input`, whatever the client has sent.

        Returns:
            None where there is nothing to put in.
        """
        if not isinstance(request_input, list):
            return None
        self._forget_old()
        items, used = list(request_input), set[str]()
        read: dict[StoredTurn, list[Any]] = {}
        for at, item in enumerate(items):
            item_id = item.get("id") if isinstance(item, dict) and is_reference(item) else None
            if not isinstance(item_id, str) or item_id in used:
                continue
            found = self._items.get((owner, item_id))
            if found is not None:
                used.add(item_id)
                turn, position = found
                if turn not in read:
                    read[turn] = turn.items()
                items[at] = read[turn][position]
        return items if used else None

    def put(self, owner: Hashable, response_id: str, turn: StoredTurn) -> None:
        """Keep the turn that a response ends.

        Args:
            owner: Who has asked.
            response_id: The response's id, as the backend gave it.
            turn: The turn.
        """
        self._forget_old()
        self._forget((owner, response_id))
        self._known[owner, response_id] = (self._clock(), turn)
        self._names.setdefault(owner, OrderedDict())[response_id] = None
        self._hold(owner, turn)
        while self._size > self._max_bytes or len(self._known) > self._max_responses:
            (most, _), *_ = self._held.most_common(1)
            self._forget((most, next(iter(self._names[most]))))

    def _forget_old(self) -> None:
        while self._known:
            key, (since, _) = next(iter(self._known.items()))
            if self._clock() - since <= self._max_age:
                break
            self._forget(key)
        while self._deleted:
            deleted, since = next(iter(self._deleted.items()))
            if self._clock() - since <= self._max_age:
                break
            del self._deleted[deleted]

    def _forget(self, key: tuple[Hashable, str]) -> None:
        if key not in self._known:
            return
        owner, response_id = key
        _, unused = self._known.pop(key)
        del self._names[owner][response_id]
        for turn in unused.chain:
            turn.users -= 1
            if turn.users:
                break
            self._forget_items(owner, turn)
            self._held[owner] -= turn.size
            self._size -= turn.size
        if not self._names[owner]:
            del self._names[owner], self._held[owner]

    def _forget_items(self, owner: Hashable, turn: StoredTurn) -> None:
        for item_id in turn.item_ids:
            held = self._items.get((owner, item_id))
            if held is not None and held[0] is turn:
                del self._items[owner, item_id]

    def _hold(self, owner: Hashable, used: StoredTurn) -> None:
        # An earlier turn may have been let go of while this one was on its way.
        for turn in used.chain:
            turn.users += 1
            if turn.users > 1:
                break
            for at, item_id in enumerate(turn.item_ids):
                self._items[owner, item_id] = turn, at
            self._held[owner] += turn.size
            self._size += turn.size
