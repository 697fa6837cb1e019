"""A round of calls and results is one thing, and each result is that of its call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from litellm_role_guard import TemplateProfile, repair
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
