"""The conversations behind a `previous_response_id`, which a vLLM without a store does not have.

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
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

MAX_BYTES = 64_000_000
"""How much is kept of all conversations together, as UTF-8 JSON."""


MAX_RESPONSES = 10_000
"""How many responses can be gone on from. Each turn of a chat is one."""


MAX_AGE = 24 * 3600.0
"""For how many seconds a response can be gone on from."""


TURN_BYTES = 1_000
"""What a turn counts beside its text, so that many small ones are not free."""


_OVER = ("completed", "incomplete")


class StoredTurn:
    """What was asked and answered in one request, behind the turns that it goes on from.

    Args:
        before: The turn that it goes on from; None for the first.
        items: Its own items as JSON: the request's `input`, then the response's `output`.
    """

    __slots__ = ("before", "items", "users")

    def __init__(self, before: StoredTurn | None, items: Sequence[bytes]) -> None:
        self.before = before
        self.items = items
        self.users = 0  # response ids and later turns that need it

    @property
    def size(self) -> int:
        """How much it counts, in bytes."""
        return TURN_BYTES + sum(map(len, self.items))


class PendingResponse:
    """A request whose answer is to be remembered.

    Args:
        memory: Where to keep it.
        owner: Who asks.
        asked: The items of the request's own `input`, as JSON.
        before: The turn that it goes on from, or None.
    """

    def __init__(
        self, memory: ResponseStore, owner: Hashable, asked: bytes, before: StoredTurn | None
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
        turns = reversed(list(_chain(self._before)))
        told = [*(part for turn in turns for part in turn.items), self._asked]
        return [item for part in told for item in json.loads(part)]

    def answered(self, response: Mapping[str, Any]) -> None:
        """Remember the question and its answer.

        Args:
            response: The backend's response object. One that is not over, or failed, is not kept.
        """
        response_id, output = response.get("id"), response.get("output")
        if not isinstance(response_id, str) or not isinstance(output, list):
            return
        if response.get("status") in _OVER:
            turn = StoredTurn(self._before, (self._asked, _json(_without_nulls(output))))
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
        self._forget_old()
        turn = None
        if before is not None:
            if (owner, before) not in self._known:
                return None
            _, turn = self._known[owner, before]
        return PendingResponse(self, owner, _json(_as_items(request_input)), turn)

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

    def _forget(self, key: tuple[Hashable, str]) -> None:
        if key not in self._known:
            return
        owner, response_id = key
        _, unused = self._known.pop(key)
        del self._names[owner][response_id]
        for turn in _chain(unused):
            turn.users -= 1
            if turn.users:
                break
            self._held[owner] -= turn.size
            self._size -= turn.size
        if not self._names[owner]:
            del self._names[owner], self._held[owner]

    def _hold(self, owner: Hashable, used: StoredTurn) -> None:
        # An earlier turn may have been let go of while this one was on its way.
        for turn in _chain(used):
            turn.users += 1
            if turn.users > 1:
                break
            self._held[owner] += turn.size
            self._size += turn.size


def _chain(turn: StoredTurn | None) -> Iterator[StoredTurn]:
    while turn is not None:
        yield turn
        turn = turn.before


def _as_items(request_input: str | Sequence[Any]) -> list[Any]:
    if isinstance(request_input, str):
        return [{"type": "message", "role": "user", "content": request_input}]
    return [
        item.model_dump(exclude_none=True) if isinstance(item, BaseModel) else item
        for item in request_input
    ]


def _without_nulls(value: Any) -> Any:
    # As every client leaves them out that sends a response's items back.
    if isinstance(value, dict):
        return {key: _without_nulls(held) for key, held in value.items() if held is not None}
    return [_without_nulls(entry) for entry in value] if isinstance(value, list) else value


def _json(items: list[Any]) -> bytes:
    text = json.dumps(items, ensure_ascii=False, separators=(",", ":"))
    return text.encode(errors="surrogatepass")  # JSON may hold half of a pair; `loads` takes it
