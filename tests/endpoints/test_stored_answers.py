"""What is answered of a stored response, and what of it can be referred to."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litellm_role_guard.endpoints.response_store import ResponseStore
from litellm_role_guard.endpoints.stored_answers import PageError, input_items, response_object

TOOLS = [{"type": "function", "name": "look", "description": "x" * 5000}]


def text(words: str, **fields: Any) -> dict[str, Any]:
    """Give an item of a user."""
    return {"role": "user", "content": words, **fields}


def said(words: str, item_id: str) -> dict[str, Any]:
    """Give an item of an answer."""
    part = {"type": "output_text", "text": words}
    return {"type": "message", "id": item_id, "role": "assistant", "content": [part]}


def answer(
    store: ResponseStore,
    name: str,
    asked: Any,
    *output: dict[str, Any],
    before: str | None = None,
    owner: str = "me",
    **fields: Any,
) -> None:
    """Have a request asked and answered."""
    pending = store.begin(owner, asked, before)
    assert pending is not None
    pending.answered({"id": name, "status": "completed", "output": list(output), **fields})


def listed(store: ResponseStore, name: str, **query: str) -> dict[str, Any]:
    """Give a page of the items of a response."""
    turn = store.turn("me", name)
    assert turn is not None
    return input_items(turn, query)


def test_a_response_is_given_as_it_was() -> None:
    """All of its fields, those that are null, too."""
    store = ResponseStore()
    fields: dict[str, Any] = {
        "instructions": "be kind",
        "tools": TOOLS,
        "usage": None,
        "metadata": {"a": "b"},
    }
    answer(store, "r1", "hi", said("hello", "m1"), **fields)
    turn = store.turn("me", "r1")
    assert turn is not None
    whole = {"id": "r1", "status": "completed", "output": [said("hello", "m1")], **fields}
    assert response_object("r1", turn) == whole


def test_tools_are_held_once_a_chat() -> None:
    """A chat whose every response repeats the same long definitions holds them once."""
    store = ResponseStore()
    answer(store, "r0", "hi", tools=TOOLS)
    first = store.size
    for number in range(1, 20):
        answer(store, f"r{number}", "hi", before=f"r{number - 1}", tools=TOOLS)
    assert store.size < first + 20 * 2000
    turn = store.turn("me", "r19")
    assert turn is not None
    assert turn.response()["tools"] == TOOLS


def test_the_listed_items_are_what_the_model_has_read() -> None:
    """Those of the responses before it, and its own question, each with its id or a new one."""
    store = ResponseStore()
    answer(store, "r1", [text("one", id="u1")], said("two", "m1"))
    answer(store, "r2", "three", said("four", "m2"), before="r1")
    page = listed(store, "r2", order="asc")
    assert page["object"] == "list"
    u1, m1, made = page["data"]
    assert [u1, m1] == [text("one", id="u1"), said("two", "m1")]
    assert made["content"] == "three"
    assert made["id"] == page["last_id"]
    assert page["has_more"] is False


@given(count=st.integers(0, 30), limit=st.integers(1, 100), order=st.sampled_from(["asc", "desc"]))
def test_pages_give_each_item_once_and_in_order(count: int, limit: int, order: str) -> None:
    """Whatever their size, going on after the last one ends, with all items."""
    store = ResponseStore()
    answer(store, "r1", [text(f"{number}") for number in range(count)], said("done", "m"))
    found: list[Any] = []
    query = {"limit": str(limit), "order": order}
    while True:
        page = listed(store, "r1", **query)
        found += page["data"]
        assert len(page["data"]) <= limit
        if not page["has_more"]:
            break
        query["after"] = page["last_id"]
    numbers = [int(item["content"]) for item in found]
    assert numbers == sorted(range(count), reverse=order == "desc")


@pytest.mark.parametrize(
    "query",
    [
        *({"limit": limit} for limit in ("0", "101", "-1", "1.5", "x", "", "²", "9" * 30)),
        *({"order": "up"}, {"after": "nobody"}, {"before": "nobody"}),
    ],
    ids=str,
)
def test_a_page_that_there_is_not_is_an_error(query: dict[str, str]) -> None:
    """It names the field."""
    store = ResponseStore()
    answer(store, "r1", "hi")
    with pytest.raises(PageError, match=next(iter(query))):
        listed(store, "r1", **query)


def test_a_reference_is_the_item_it_stands_for() -> None:
    """By the id that the client gave, the backend, or the list of items; the others stay."""
    store = ResponseStore()
    answer(store, "r1", [text("one", id="u1"), text("two")], said("three", "m1"))
    made = listed(store, "r1", order="asc")["data"][1]["id"]
    names = ("u1", made, "m1", "unknown")
    references = [{"type": "item_reference", "id": name} for name in names]
    items = store.with_references("me", [*references, {"id": "m1"}, text("go on")])
    assert items is not None
    assert items[:3] == [text("one", id="u1"), text("two"), said("three", "m1")]
    # What is referred to twice is put in once, so that no input outgrows what is held.
    assert items[3:] == [references[3], {"id": "m1"}, text("go on")]


@pytest.mark.parametrize(
    "given_input", [None, 7, "text", [], [None, 3, "x"], [{"type": "item_reference", "id": 7}]]
)
def test_an_input_without_references_is_left_alone(given_input: object) -> None:
    """Whatever a client sends."""
    assert ResponseStore().with_references("me", given_input) is None


def test_nobody_refers_to_anothers_items() -> None:
    """Nor reads or deletes the response."""
    store = ResponseStore()
    answer(store, "r1", "mine", said("secret", "m1"))
    assert store.with_references("you", [{"type": "item_reference", "id": "m1"}]) is None
    assert store.turn("you", "r1") is None
    assert store.delete("you", "r1") is False
    assert store.is_deleted("me", "r1") is False
    assert store.turn("me", "r1") is not None


def test_what_is_deleted_is_gone_with_its_items() -> None:
    """Nothing is held of it, and it stays known as deleted for as long as a response is kept."""
    now = [0.0]
    store = ResponseStore(max_age=60, clock=lambda: now[0])
    answer(store, "r1", "mine", said("secret", "m1"))
    assert store.delete("me", "r1") is True
    assert store.delete("me", "r1") is False
    assert (len(store), store.size) == (0, 0)
    assert store.begin("me", "more", "r1") is None
    assert store.with_references("me", [{"type": "item_reference", "id": "m1"}]) is None
    assert store.is_deleted("me", "r1")
    now[0] = 61
    assert not store.is_deleted("me", "r1")


def test_deleting_leaves_what_went_on_from_it() -> None:
    """A later response has its whole conversation, and no reference leads to a part of it."""
    store = ResponseStore()
    answer(store, "r1", "one", said("two", "m1"))
    answer(store, "r2", "three", before="r1")
    store.delete("me", "r1")
    assert store.with_references("me", [{"type": "item_reference", "id": "m1"}]) is None
    pending = store.begin("me", [], "r2")
    assert pending is not None
    assert [json.dumps(item) for item in pending.items()][1] == json.dumps(said("two", "m1"))


def test_deletions_are_remembered_within_bounds() -> None:
    """Of as many responses as are kept, and no more."""
    store = ResponseStore(max_responses=3)
    for number in range(10):
        answer(store, f"r{number}", "hi")
        store.delete("me", f"r{number}")
    known = [store.is_deleted("me", f"r{number}") for number in range(10)]
    assert known == [False] * 7 + [True] * 3
