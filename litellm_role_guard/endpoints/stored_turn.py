"""One request to /v1/responses and its answer, as they are kept."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

TURN_BYTES = 1_000
"""What a turn counts beside its text, so that many small ones are not free."""


ITEM_BYTES = 250
"""What an item counts beside its text, for the id by which it can be referred to."""


MAX_ID_CHARS = 200
"""How long an item's id may be that is kept; a longer one is a text."""


# What a client sends with each request of a chat, and a response repeats.
_DEFINITIONS = ("instructions", "tools")


class StoredTurn:
    """What was asked and answered in one request, behind the turns that it goes on from.

    Args:
        before: The turn that it goes on from; None for the first.
        response_id: The response's id, as the backend gave it.
        asked: The items of the request's `input`.
        response: The response object; its `output` is what was answered.
    """

    __slots__ = (
        *("_definitions", "_own_definitions", "_rest"),
        *("answered", "asked", "before", "item_ids", "users"),
    )

    def __init__(
        self,
        before: StoredTurn | None,
        response_id: str,
        asked: AskedItems,
        response: Mapping[str, Any],
    ) -> None:
        output = without_nulls(response["output"])
        rest = {name: value for name, value in response.items() if name not in ("id", "output")}
        own = {name: rest.pop(name) for name in _DEFINITIONS if name in rest}
        definitions: bytes = to_json(own) if own else b""
        # Tools are long and the same in each turn, which holds the one before it anyway.
        is_shared = before is not None and before._definitions == definitions
        self.before = before
        self.asked = asked.text
        self.answered = to_json(output)
        self.item_ids = [
            item_id or f"item_{at}_{response_id}"
            for at, item_id in enumerate([*asked.ids, *map(_id_of, output)])
        ]
        self.users = 0  # response ids and later turns that need it
        self._rest = to_json(rest)
        self._definitions: bytes = before._definitions if before and is_shared else definitions
        self._own_definitions = 0 if is_shared else len(definitions)

    @property
    def size(self) -> int:
        """How much it counts, in bytes."""
        texts = len(self.asked) + len(self.answered) + len(self._rest) + self._own_definitions
        return TURN_BYTES + texts + ITEM_BYTES * len(self.item_ids)

    @property
    def chain(self) -> Iterator[StoredTurn]:
        """The turn and those that it goes on from, the latest first."""
        turn: StoredTurn | None = self
        while turn is not None:
            yield turn
            turn = turn.before

    def items(self) -> list[Any]:
        """Return what was asked and answered, as the client and the backend sent it."""
        return [*json.loads(self.asked), *json.loads(self.answered)]

    def named_items(self) -> list[Any]:
        """Return the same items, each with an id."""
        return [
            {**item, "id": item_id} if isinstance(item, dict) else item
            for item_id, item in zip(self.item_ids, self.items(), strict=True)
        ]

    def asked_count(self) -> int:
        """Return how many of its items were asked."""
        return len(self.item_ids) - len(json.loads(self.answered))

    def response(self) -> dict[str, Any]:
        """Return the response object as it was answered, without its id."""
        fields = {**json.loads(self._rest), **json.loads(self._definitions or b"{}")}
        return {**fields, "output": json.loads(self.answered)}


class AskedItems:
    """The items of a request's `input`.

    Args:
        request_input: The `input`, a string or a list of items.

    Attributes:
        text: The items as JSON.
        ids: Their own ids; None for an item that has none.

    Raises:
        TypeError: It cannot be written as JSON.
    """

    __slots__ = ("ids", "text")

    def __init__(self, request_input: str | Sequence[Any]) -> None:
        items = _as_items(request_input)
        self.text = to_json(items)
        self.ids = [_id_of(item) for item in items]


def _id_of(item: object) -> str | None:
    found = item.get("id") if isinstance(item, Mapping) else None
    return found if isinstance(found, str) and 0 < len(found) <= MAX_ID_CHARS else None


def _as_items(request_input: str | Sequence[Any]) -> list[Any]:
    if isinstance(request_input, str):
        return [{"type": "message", "role": "user", "content": request_input}]
    return [
        item.model_dump(exclude_none=True) if isinstance(item, BaseModel) else item
        for item in request_input
    ]


def without_nulls(value: Any) -> Any:
    """Return JSON-like data without fields that are null.

    As every client leaves them out that sends a response's items back.
    """
    if isinstance(value, dict):
        return {key: without_nulls(held) for key, held in value.items() if held is not None}
    return [without_nulls(entry) for entry in value] if isinstance(value, list) else value


def to_json(value: Any) -> bytes:
    """Return data as compact JSON."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode(errors="surrogatepass")  # JSON may hold half of a pair; `loads` takes it
