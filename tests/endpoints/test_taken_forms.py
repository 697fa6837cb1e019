"""Chat messages in forms that vLLM refuses, whatever its template, are sent in those it takes."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from litellm_role_guard.endpoints.taken_forms import in_taken_forms
from litellm_role_guard.messages.validation import find_validation_error
from litellm_role_guard.simulator.protocol import ChatRequest, Refused

USER = {"role": "user", "content": "hi"}
ARGUMENTS = '{"animal": "zebra"}'
FUNCTION = {"name": "look", "arguments": ARGUMENTS}
CALL = {"id": "c1", "type": "function", "function": FUNCTION}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "stripes"}
TEXT = {"type": "text", "text": "zebra"}


def reply(*parts: Any, **fields: Any) -> dict[str, Any]:
    """Give an assistant's message."""
    return {"role": "assistant", "content": list(parts) or None, **fields}


def calling(*calls: Any) -> dict[str, Any]:
    """Give an assistant's message with calls."""
    return reply(tool_calls=list(calls))


CALLS: dict[str, Any] = {
    "arguments as an object": {
        **CALL,
        "function": {"name": "look", "arguments": {"animal": "zebra"}},
    },
    "no type": {"id": "c1", "function": FUNCTION},
    "flat": {"id": "c1", "name": "look", "arguments": {"animal": "zebra"}},
    "an index, as in a stream": {"index": 0, **{key: CALL[key] for key in ("id", "function")}},
}
PARTS: dict[str, list[Any]] = {
    "a string": ["zebra"],
    "a part of the Responses API": [{"type": "input_text", "text": "zebra"}],
    "a kind that is yet to come": [TEXT, {"type": "mood", "animal": ["zebra"]}],
}
THOUGHTS: dict[str, Any] = {
    "thinking": {"type": "thinking", "thinking": "zebra", "signature": "c2"},
    "in parts": {"type": "thinking", "thinking": [{"type": "text", "text": "zebra"}]},
    "reasoning": {"type": "reasoning", "text": "zebra"},
    "a summary": {"type": "reasoning", "summary": [{"type": "summary_text", "text": "zebra"}]},
    "think": {"type": "think", "think": "zebra"},
}


def is_taken(messages: Any) -> bool:
    """Tell whether vLLM takes messages; it reads their parts only when it renders them."""
    try:
        sent = json.loads(json.dumps(messages))
        return bool(ChatRequest.model_validate({"messages": sent}).conversation())
    except (Refused, ValueError):
        return False


def taken(messages: list[Any]) -> list[Any]:
    """Give messages that vLLM refuses as it takes them, having checked both."""
    assert find_validation_error(messages) is None
    assert not is_taken(messages)
    before = copy.deepcopy(messages)
    made, changes = in_taken_forms(messages)
    assert is_taken(made)
    assert changes
    assert messages == before
    return list(made)


@pytest.mark.parametrize("kind", CALLS)
def test_a_call_is_written_as_openai_writes_it(kind: str) -> None:
    """Its id, its name and its arguments are the client's."""
    _, made, result = taken([USER, calling(CALLS[kind]), RESULT])
    (call,) = made["tool_calls"]
    assert (call["id"], call["type"], call["function"]) == ("c1", "function", FUNCTION)
    assert result is RESULT


@pytest.mark.parametrize("no_id", [{}, {"id": None}], ids=["none", "null"])
def test_calls_without_an_id_and_their_results_get_the_same(no_id: dict[str, Any]) -> None:
    """A result of a name that of its call, and the others in the order of theirs."""
    calls = [
        {**no_id, "type": "function", "function": {"name": name, "arguments": "{}"}}
        for name in ("f", "g", "f")
    ]
    results = [{"role": "tool", "content": "of g", "name": "g"}] + [
        {"role": "tool", "content": f"of f {n}", **fields}
        for n, fields in enumerate(({}, {"name": "f"}))
    ]
    _, made, of_g, first, second = taken([USER, calling(*calls), *results])
    ids = [call["id"] for call in made["tool_calls"]]
    assert len(set(ids)) == 3
    assert [each["tool_call_id"] for each in (first, of_g, second)] == ids


@pytest.mark.parametrize("role", ["system", "user", "assistant", "tool"])
@pytest.mark.parametrize("kind", PARTS)
def test_every_text_is_in_a_text_part(kind: str, role: str) -> None:
    """Also that of a part which no model could be shown as what it is."""
    message = {**(RESULT if role == "tool" else {}), "role": role, "content": PARTS[kind]}
    *_, made = taken([USER, message])
    assert {part["type"] for part in made["content"]} == {"text"}
    assert "zebra" in made["content"][-1]["text"]


@pytest.mark.parametrize("kind", THOUGHTS)
def test_a_thought_among_the_parts_of_a_reply_is_its_reasoning(kind: str) -> None:
    """Where templates look for it, and nowhere among the words of the reply."""
    answer = {"type": "text", "text": "a horse"}
    _, made, _ = taken([USER, reply(THOUGHTS[kind], answer), USER])
    assert made["reasoning_content"] == "zebra"
    assert made["content"] == [answer]


def test_a_name_that_is_null_is_none() -> None:
    """As of an SDK's object that was written with all its fields."""
    assert taken([{**USER, "name": None}, reply(TEXT), USER])[0] == USER


@pytest.mark.parametrize(
    "messages",
    [
        [USER, calling(CALL), RESULT],
        [USER, calling({**CALL, "index": 0}), {"role": "tool", "content": "stripes"}, USER],
        [{"role": "user", "content": [TEXT, {"type": "image_url", "image_url": {"url": "u"}}]}],
        [USER, reply(TEXT, {"type": "refusal", "refusal": "no"}, name="bot"), USER],
        [USER, reply(refusal=None, audio=None, tool_calls=None, function_call=None), USER],
    ],
)
def test_what_vllm_takes_stays_the_very_list(messages: Any) -> None:
    """Nothing is copied, and no change is told of."""
    made, changes = in_taken_forms(messages)
    assert made is messages
    assert changes == ()


def test_only_what_is_in_the_way_changes() -> None:
    """The other messages stay the same objects."""
    given = [USER, calling(CALLS["flat"]), RESULT, USER]
    made, (change,) = in_taken_forms(given)
    assert [new is old for new, old in zip(made, given, strict=True)] == [True, False, True, True]
    assert (change.what, change.messages) == ("tools", (1,))
