"""What a `previous_response_id` stands for, and for how long it is known."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import ResponseOutputMessage, ResponseOutputText

from litellm_role_guard.endpoints.response_store import ResponseStore
from litellm_role_guard.endpoints.stored_turn import TURN_BYTES


class Clock:
    """A clock that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        """Give the time."""
        return self.now


def said(text: str) -> dict[str, Any]:
    """Give an output item as vLLM writes it, with fields that say nothing."""
    part: dict[str, Any] = {"type": "output_text", "text": text, "annotations": []}
    part["logprobs"] = None
    return {"type": "message", "role": "assistant", "content": [part], "phase": None}


def heard(text: str) -> dict[str, Any]:
    """Give what is remembered of an output item."""
    part = {"type": "output_text", "text": text, "annotations": []}
    return {"type": "message", "role": "assistant", "content": [part]}


def user(text: str) -> dict[str, Any]:
    """Give an input item of a user."""
    return {"type": "message", "role": "user", "content": text}


def answer(name: str, *output: dict[str, Any], status: str = "completed") -> dict[str, Any]:
    """Give a response object."""
    return {"id": name, "status": status, "output": list(output)}


def turn(
    memory: ResponseStore, name: str, text: str, *, before: str | None = None, owner: str = "me"
) -> None:
    """Have one message asked, and answered with one of the same length."""
    begin = memory.begin(owner, text, before)
    assert begin is not None
    begin.answered(answer(name, said(text.upper())))


def known(memory: ResponseStore, name: str, owner: str = "me") -> Sequence[Any] | None:
    """Give what stands before a new message that goes on from a response."""
    begin = memory.begin(owner, [], name)
    return None if begin is None else begin.items()


def test_a_conversation_is_known_whole() -> None:
    """Each response stands for all that was asked and answered up to it, in order."""
    memory = ResponseStore()
    turn(memory, "r1", "one")
    turn(memory, "r2", "two", before="r1")
    first = [user("one"), heard("ONE")]
    assert known(memory, "r1") == first
    assert known(memory, "r2") == [*first, user("two"), heard("TWO")]
    begin = memory.begin("me", [user("three")], "r2")
    assert begin is not None
    assert begin.items() == [*first, user("two"), heard("TWO"), user("three")]


def test_one_response_can_be_gone_on_from_twice() -> None:
    """Two branches share their beginning and nothing else."""
    memory = ResponseStore()
    turn(memory, "r1", "one")
    turn(memory, "left", "this", before="r1")
    turn(memory, "right", "that", before="r1")
    assert known(memory, "left") == [user("one"), heard("ONE"), user("this"), heard("THIS")]
    assert known(memory, "right") == [user("one"), heard("ONE"), user("that"), heard("THAT")]


def test_what_is_given_is_a_copy() -> None:
    """LiteLLM may write into what it gets; what is remembered stays as it was."""
    memory = ResponseStore()
    asked = [user("one")]
    begin = memory.begin("me", asked)
    assert begin is not None
    asked[0]["content"] = "changed"
    begin.answered(answer("r1"))
    items = known(memory, "r1")
    assert items == [user("one")]
    items[0]["content"] = "changed"
    assert known(memory, "r1") == [user("one")]


def test_an_input_of_pydantic_objects_is_read() -> None:
    """In Python the output items of an earlier answer are sent back as they came."""
    part = ResponseOutputText(type="output_text", text="hi", annotations=[])
    item = ResponseOutputMessage(
        id="m", type="message", role="assistant", status="completed", content=[part]
    )
    begin = ResponseStore().begin("me", [item, user("one")])
    assert begin is not None
    assert begin.items() == [item.model_dump(exclude_none=True), user("one")]


def test_an_answer_without_text_is_remembered_as_none() -> None:
    """The question stands alone then."""
    memory = ResponseStore()
    begin = memory.begin("me", "one")
    assert begin is not None
    begin.answered(answer("r1"))
    assert known(memory, "r1") == [user("one")]


@pytest.mark.parametrize(
    ("response", "kept"),
    [
        (answer("r", status="completed"), True),
        (answer("r", status="incomplete"), True),
        (answer("r", status="failed"), False),
        (answer("r", status="cancelled"), False),
        (answer("r", status="queued"), False),
        ({"id": None, "status": "completed", "output": []}, False),
        ({"id": "r", "status": "completed"}, False),
        ({"error": {"message": "no"}}, False),
    ],
)
def test_only_an_answer_that_is_over_is_kept(response: dict[str, Any], kept: bool) -> None:
    """One that failed, or is to be fetched later, cannot be gone on from."""
    memory = ResponseStore()
    begin = memory.begin("me", "one")
    assert begin is not None
    begin.answered(response)
    assert (known(memory, "r") is not None) is kept


def test_owners_do_not_see_each_other() -> None:
    """A response id in another's hands is one that nobody knows."""
    memory = ResponseStore()
    turn(memory, "r1", "mine", owner="me")
    assert known(memory, "r1", "you") is None
    turn(memory, "r1", "yours", owner="you")
    assert known(memory, "r1", "me") == [user("mine"), heard("MINE")]
    assert known(memory, "r1", "you") == [user("yours"), heard("YOURS")]


def test_the_number_of_responses_is_bounded() -> None:
    """The oldest response goes first, and what later ones need of it stays."""
    memory = ResponseStore(max_responses=2)
    turn(memory, "r1", "one")
    turn(memory, "r2", "two", before="r1")
    turn(memory, "r3", "three", before="r2")
    assert len(memory) == 2
    assert known(memory, "r1") is None
    assert known(memory, "r3") == [
        *(user("one"), heard("ONE")),
        *(user("two"), heard("TWO")),
        *(user("three"), heard("THREE")),
    ]


def test_the_bytes_are_bounded() -> None:
    """All that is held stays below the limit, whatever the texts are."""
    limit = 20 * TURN_BYTES
    memory = ResponseStore(max_bytes=limit)
    for number in range(100):
        turn(memory, f"r{number}", "ü" * (number * 20))
        assert memory.size <= limit
    assert known(memory, "r99") is not None
    assert known(memory, "r0") is None


def test_a_chat_is_held_once() -> None:
    """What is held of a chat grows with its text, and not with its square."""
    memory = ResponseStore()
    turn(memory, "r0", "x" * 1000)
    first = memory.size
    for number in range(1, 50):
        turn(memory, f"r{number}", "x" * 1000, before=f"r{number - 1}")
    assert memory.size == 50 * first
    assert first < 2 * 1000 + 2 * TURN_BYTES


def test_a_conversation_above_the_limit_is_not_kept() -> None:
    """It costs nobody else theirs."""
    memory = ResponseStore(max_bytes=5 * TURN_BYTES)
    turn(memory, "small", "one", owner="you")
    turn(memory, "large", "x" * 5 * TURN_BYTES)
    assert known(memory, "large") is None
    assert known(memory, "small", "you") is not None


def test_who_asks_much_makes_room_themselves() -> None:
    """A batch job under one key does not end the chats of the others."""
    memory = ResponseStore(max_responses=50)
    turn(memory, "chat", "hello", owner="person")
    for number in range(500):
        turn(memory, f"r{number}", "work", owner="batch")
    assert len(memory) == 50
    assert known(memory, "chat", "person") == [user("hello"), heard("HELLO")]


def test_what_is_too_old_is_forgotten() -> None:
    """A response is known for as long as was said and no longer, and then nothing of it is held."""
    clock = Clock()
    memory = ResponseStore(max_age=60, clock=clock)
    turn(memory, "r1", "one")
    clock.now += 60
    assert known(memory, "r1") is not None
    clock.now += 0.1
    assert known(memory, "r1") is None
    assert (len(memory), memory.size) == (0, 0)


def test_a_chat_that_goes_on_does_not_age() -> None:
    """Its first turn is read for as long as its last one is known."""
    clock = Clock()
    memory = ResponseStore(max_age=60, clock=clock)
    turn(memory, "r0", "one")
    for number in range(1, 5):
        clock.now += 50
        turn(memory, f"r{number}", "more", before=f"r{number - 1}")
    items = known(memory, "r4")
    assert items is not None
    assert items[0] == user("one")
    assert known(memory, "r0") is None


def test_what_was_forgotten_meanwhile_is_held_again() -> None:
    """An answer that comes late still stands for its whole conversation, and counts in full."""
    clock = Clock()
    memory = ResponseStore(max_age=60, clock=clock)
    turn(memory, "r1", "one")
    begin = memory.begin("me", "two", "r1")
    held = memory.size
    clock.now += 61
    assert known(memory, "r1") is None
    assert begin is not None
    begin.answered(answer("r2", said("TWO")))
    assert known(memory, "r2") == [user("one"), heard("ONE"), user("two"), heard("TWO")]
    assert memory.size == 2 * held


def test_half_a_surrogate_pair_is_text_like_any_other() -> None:
    """JSON may hold one, which UTF-8 cannot."""
    memory = ResponseStore()
    text = json.loads('"\\ud83d"')
    turn(memory, "r1", text)
    assert known(memory, "r1") == [user(text), heard(text)]


STEPS = st.lists(
    st.tuples(
        st.sampled_from("abc"),  # owner
        st.integers(0, 30),  # which of its earlier responses it goes on from, if there are so many
        st.integers(0, 3000),  # length of the text
        st.sampled_from([0.0, 1.0, 7.0]),  # time until the next
        st.integers(0, 30),  # which of its responses is deleted then, if there are so many
    ),
    max_size=60,
)


@given(STEPS)
def test_what_is_held_is_what_is_known(steps: list[tuple[str, int, int, float, int]]) -> None:
    """The count of bytes is exact, within its limit, and nothing is held that no id leads to."""
    clock = Clock()
    memory = ResponseStore(max_bytes=25 * TURN_BYTES, max_responses=8, max_age=20, clock=clock)
    told: dict[tuple[str, str], list[Any]] = {}
    names: dict[str, list[str]] = {"a": [], "b": [], "c": []}
    for number, (owner, back, length, passed, deleted) in enumerate(steps):
        before = names[owner][-back] if 0 < back <= len(names[owner]) else None
        begin = memory.begin(owner, "x" * length, before)
        if begin is not None:
            name = f"r{number}"
            earlier = told.get((owner, before or ""), [])
            begin.answered(answer(name, said("y")))
            told[owner, name] = [*earlier, user("x" * length), heard("y")]
            names[owner].append(name)
        if 0 < deleted <= len(names[owner]):
            gone = names[owner].pop(-deleted)
            memory.delete(owner, gone)
            assert memory.begin(owner, [], gone) is None
        clock.now += passed
        reachable = {}
        for (whose, called), items in told.items():
            if (kept := memory.begin(whose, [], called)) is not None:
                assert kept.items() == items
                reachable[whose, called] = kept
        turns = {
            id(each): each.size for kept in reachable.values() for each in _turns(kept._before)
        }
        assert memory.size == sum(turns.values()) <= 25 * TURN_BYTES
        assert len(memory) == len(reachable) <= 8
        # No item can be referred to that no response leads to.
        assert {id(turn) for turn, _ in memory._items.values()} <= turns.keys()


def _turns(turn: Any) -> list[Any]:
    return [] if turn is None else [turn, *_turns(turn.before)]
