"""What GET, DELETE and `input_items` of a stored response answer, as OpenAI's API does."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .stored_turn import StoredTurn

MAX_LIMIT = 100

DEFAULT_LIMIT = 20

_LIMIT = re.compile(r"[0-9]{1,3}", re.ASCII)


class PageError(ValueError):
    """A page of items is asked for that there is not; the text says which field is wrong."""


def response_object(response_id: str, turn: StoredTurn) -> dict[str, Any]:
    """Return the response that ends a turn, as it was answered.

    Args:
        response_id: The response's id.
        turn: The turn.
    """
    return {"id": response_id, **turn.response()}


def deletion(response_id: str) -> dict[str, Any]:
    """Return what says that a response was deleted."""
    return {"id": response_id, "object": "response", "deleted": True}


def input_items(turn: StoredTurn, query: Mapping[str, str]) -> dict[str, Any]:
    """Return a page of the items that the model has read for a response, each with an id.

    Those are the request's own and all that it went on from.

    Args:
        turn: The turn that the response ends.
        query: `limit` (1 to `MAX_LIMIT`), `order` (`desc` if missing, or `asc`), and `after` and
            `before`, each the id of an item in that order.

    Raises:
        PageError: One of them is something else.
    """
    latest, *earlier = turn.chain
    items = [item for each in reversed(earlier) for item in each.named_items()]
    items += latest.named_items()[: latest.asked_count()]
    limit, order = query.get("limit", str(DEFAULT_LIMIT)), query.get("order", "desc")
    if not _LIMIT.fullmatch(limit) or not 1 <= int(limit) <= MAX_LIMIT:
        raise PageError(f"limit: must be a number from 1 to {MAX_LIMIT}")
    if order not in ("asc", "desc"):
        raise PageError("order: must be asc or desc")
    if order == "desc":
        items.reverse()
    begin = _place(items, query, "after", -1) + 1
    end = _place(items, query, "before", len(items))
    page = items[begin:end][: int(limit)]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": begin + len(page) < end,
    }


def _place(items: list[Any], query: Mapping[str, str], field: str, default: int) -> int:
    """Return where the item stands that a field names; `default` where it names none."""
    if not query.get(field):
        return default
    places = [at for at, item in enumerate(items) if item["id"] == query[field]]
    if not places:
        raise PageError(f"{field}: no such item")
    return places[0]
