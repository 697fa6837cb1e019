"""A round of calls and results is one thing, and each result is that of its call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from litellm_role_guard import ChatTemplate, TemplateProfile, repair
from testing.learnt import learnt
from testing.real_templates import REAL, name
from testing.rightness import mispaired

CITIES = ("Oslo", "Rome", "Bern")


def call(city: str) -> dict[str, Any]:
    """Return a call that asks for a city's weather."""
    function = {"name": "weather", "arguments": f'{{"city": "{city}"}}'}
    return {"id": f"id{city}000"[:9], "type": "function", "function": function}


def round_of(*answered: str) -> list[dict[str, Any]]:
    """Return a conversation with a call for each city, and results in this order."""
    calls = [call(city) for city in CITIES]
    ids = {city: each["id"] for city, each in zip(CITIES, calls, strict=True)}
    results = [
        {"role": "tool", "tool_call_id": ids[city], "content": f"sunny in {city.lower()}"}
        for city in answered
    ]
    return [
        {"role": "user", "content": "how is the weather?"},
        {"role": "assistant", "content": None, "tool_calls": calls},
        *results,
        {"role": "assistant", "content": "sunny everywhere"},
        {"role": "user", "content": "thanks"},
    ]


each_template = pytest.mark.parametrize("path", REAL, ids=name)


@each_template
def test_results_stand_in_the_order_of_their_calls_where_no_ids_tell_them_apart(
    path: Path,
) -> None:
    """Or behind their own call, or with the id by which it was called, or labelled with both."""
    template, profile = learnt(path)
    messages = round_of("Rome", "Bern", "Oslo")
    prompt = template.render(repair(messages, profile).messages)
    shown = [prompt.index(f"sunny in {city.lower()}") for city in CITIES]
    by_id = all(prompt.count(str(call(city)["id"])) > 1 for city in CITIES)
    in_words = all(
        f"[Tool result: weather #{at + 1}]\nsunny in {city.lower()}" in prompt
        for at, city in enumerate(CITIES)
    )
    assert by_id or in_words or shown == sorted(shown)


@each_template
def test_results_in_order_stay_where_they_are(path: Path) -> None:
    """Sound rounds go on as the very same objects, where the template takes them at all."""
    _, profile = learnt(path)
    messages = round_of(*CITIES)
    repaired = repair(messages, profile)
    takes_rounds = profile.may_follow("user", "call") and profile.parallel_calls == "accepted"
    assert not any("ids that tell" in change.why for change in repaired.changes)
    if takes_rounds and profile.result_pairing != "accepted":
        assert repaired.messages is messages


@each_template
@pytest.mark.parametrize("arguments", ['{"city": "Oslo"}', '{"city": "Os'], ids=["whole", "cut"])
def test_a_call_in_words_has_its_result_in_words(path: Path, arguments: str) -> None:
    """Never half of a round in tool turns, whatever the template prints."""
    _, profile = learnt(path)
    messages = round_of(*CITIES)
    messages[1]["tool_calls"][0]["function"]["arguments"] = arguments
    sent = repair(messages, profile).messages
    native = [each["id"] for message in sent for each in message.get("tool_calls") or ()]
    answered = [message["tool_call_id"] for message in sent if message["role"] == "tool"]
    assert sorted(native) == sorted(answered)
    assert all(f"sunny in {city.lower()}" in str(sent) for city in CITIES)


def test_other_results_keep_their_places() -> None:
    """Only those of the round change places among themselves."""
    profile = TemplateProfile(result_pairing="not_read")
    messages = round_of("Rome", "Oslo", "Bern")
    stray = {"role": "tool", "tool_call_id": "elsewhere", "content": "of nobody"}
    messages.insert(3, stray)
    sent = repair(messages, profile).messages
    contents = [message["content"] for message in sent if message["role"] == "tool"]
    assert contents == ["sunny in oslo", "of nobody", "sunny in rome", "sunny in bern"]


@each_template
def test_a_result_is_never_read_as_that_of_a_call_without_one(path: Path) -> None:
    """Where the first call of a round has no result, and the prompt shows no ids."""
    template, profile = learnt(path)
    sent = repair(round_of("Rome", "Bern"), profile).messages
    assert list(mispaired(template, sent, tools=False)) == []
    prompt = template.render(sent)
    if "[Tool result: weather #2]" in prompt:
        assert "[Tool call: weather #1]" in prompt
        assert not any(message.get("tool_calls") for message in sent)


def answers(*ids: str) -> list[dict[str, Any]]:
    """Return results of these ids, each with a text of its own."""
    return [
        {"role": "tool", "tool_call_id": call_id, "content": f"result {at}"}
        for at, call_id in enumerate(ids)
    ]


def calls_of(*ids: str) -> dict[str, Any]:
    """Return a message with a call of each id."""
    made = [{**call(CITIES[at]), "id": call_id} for at, call_id in enumerate(ids)]
    return {"role": "assistant", "content": None, "tool_calls": made}


def native_ids(messages: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[str]]:
    """Return the ids of the calls that stayed calls, and of the results that stayed results."""
    called = [each["id"] for message in messages for each in message.get("tool_calls") or ()]
    return called, [message["tool_call_id"] for message in messages if message["role"] == "tool"]


COUNTS = TemplateProfile(
    half_answered="refused",
    follows={
        f"{side}{since}": {"tool": "refused"}
        for side in ("user", "assistant")
        for since in ("", "+tool")
    },
)
"""Of a template that wants as many results as calls, and none but theirs."""


@pytest.mark.parametrize(
    ("called", "answered"),
    [
        ("a a", "a"),  # a result too few, though every id has one
        ("a b", "a x b"),  # one of another call amid them
        ("a b", "x a b"),
        ("a", "x a"),
    ],
)
def test_a_round_that_is_not_answered_one_by_one_is_all_in_words(
    called: str, answered: str
) -> None:
    """Where the template counts: else a result would stand behind words, its call before them."""
    messages = [calls_of(*called.split()), *answers(*answered.split()), {"role": "user"}]
    messages[-1]["content"] = "thanks"
    sent = repair(messages, COUNTS).messages
    assert native_ids(sent) == ([], [])
    assert all(f"result {at}" in str(sent) for at in range(len(answered.split())))


def test_two_calls_with_one_id_and_two_results_are_a_sound_round() -> None:
    """Where ids may be shared: the first result answers the first call."""
    question = {"role": "user", "content": "how is the weather?"}
    messages = [question, calls_of("a", "a"), *answers("a", "a")]
    assert repair(messages, COUNTS).messages is messages


def test_calls_of_one_message_get_ids_of_their_own_where_none_may_be_shared() -> None:
    """And so do their results, in their order; with results or without."""
    profile = TemplateProfile(shared_call_ids="refused")
    for results in (answers("a", "a"), []):
        sent = repair([calls_of("a", "a"), *results], profile).messages
        called, answered = native_ids(sent)
        assert len(set(called)) == 2
        assert answered == called[: len(results)]


def test_a_call_in_words_keeps_its_result_from_one_with_the_same_id() -> None:
    """The first of two calls with one id is written out, and its late result is in words, too."""
    profile = TemplateProfile(result_pairing="not_read")
    said = {"role": "assistant", "content": "I wait."}
    messages = [calls_of("a"), calls_of("a", "b"), said, *answers("a")]
    sent = repair(messages, profile).messages
    assert native_ids(sent)[1] == []
    assert "[Tool result: weather]\nresult 0" in str(sent).replace("\\n", "\n")
    assert repair(sent, profile).messages is sent


def learnt_from(template: str) -> tuple[ChatTemplate, TemplateProfile]:
    """Return a template and its profile."""
    made = ChatTemplate(template)
    return made, TemplateProfile.learn(made)


def test_an_id_that_comes_again_is_a_new_one_where_results_are_looked_up_by_it() -> None:
    """Else the second result would stand behind the first call, too."""
    template, profile = learnt_from(
        "{%- for m in messages -%}{%- if m.role != 'tool' -%}<{{ m.role }}>{{ m.content or '' }}"
        "{%- for c in m.tool_calls or [] -%}CALL {{ c.function | tojson }}"
        "{%- for r in messages if r.role == 'tool' and r.tool_call_id == c.id -%}"
        "RESULT {{ r.content }};{%- endfor -%}{%- endfor -%}{%- endif -%}{%- endfor -%}"
    )
    rounds = [calls_of("a"), *answers("a"), {"role": "user", "content": "and now?"}]
    again = [calls_of("a"), {"role": "tool", "tool_call_id": "a", "content": "result 1"}]
    prompt = template.render(repair([*rounds, *again], profile).messages)
    assert [prompt.count(f"RESULT result {at};") for at in range(2)] == [1, 1]


def test_a_round_is_in_words_where_its_result_would_not_be_read() -> None:
    """Never half of it."""
    template, profile = learnt_from(
        "{%- for m in messages if m.role != 'tool' -%}<{{ m.role }}>{{ m.content or '' }}"
        "{%- for c in m.tool_calls or [] -%}CALL {{ c.function | tojson }}{%- endfor -%}"
        "{%- endfor -%}"
    )
    sent = repair([calls_of("a"), *answers("a")], profile).messages
    assert native_ids(sent) == ([], [])
    assert "[Tool call: weather]" in template.render(sent)
