"""What is written as text says who said it, and where that ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from litellm_role_guard import TemplateProfile, repair
from testing.learnt import learnt
from testing.real_templates import REAL, name

each_template = pytest.mark.parametrize("path", REAL, ids=name)
QUESTION = {"role": "user", "content": "the first question"}


def call(at: int, city: str, tool: str = "weather") -> dict[str, Any]:
    """Return a tool call."""
    function = {"name": tool, "arguments": f'{{"city": "{city}"}}'}
    return {"id": f"aB00Z000{at}", "type": "function", "function": function}


def said(text: str, speaker: str | None, role: str = "assistant") -> dict[str, Any]:
    """Return a message of a named speaker."""
    message = {"role": role, "content": text}
    return message if speaker is None else {**message, "name": speaker}


@each_template
@pytest.mark.parametrize("role", ["assistant", "user"])
def test_joined_speakers_are_told_apart_by_their_names(path: Path, role: str) -> None:
    """Where their turns have to be joined; elsewhere nothing is changed."""
    template, profile = learnt(path)
    words = [said("words one", "Coder", role), said("words two", "Critic", role)]
    messages = [QUESTION, *words, {"role": "user", "content": "go on"}]
    repaired = repair(messages, profile)
    if not any({1, 2} <= set(change.messages) for change in repaired.changes):
        return
    prompt = template.render(repaired.messages)
    # Some templates show the name of the turn, before its words.
    assert prompt.index("Coder") < prompt.index("Critic")
    places = [prompt.index(each) for each in ("words one", "Critic", "words two")]
    assert places == sorted(places)


def test_what_was_sent_of_the_first_speaker_stays_as_it_was() -> None:
    """So that a conversation in which another one speaks next keeps its rendered beginning."""
    profile = TemplateProfile(follows={"assistant": {"assistant": "refused"}})
    messages = [QUESTION, said("words one", "Coder"), said("words two", "Critic")]
    before = repair(messages[:2], profile).messages[1]
    joined = repair(messages, profile).messages[1]
    assert str(joined["content"]).startswith(str(before["content"]))
    assert joined["name"] == before["name"]


def test_one_speaker_needs_no_label() -> None:
    """Nor do speakers without a name."""
    profile = TemplateProfile(follows={"assistant": {"assistant": "refused"}})
    for speaker in ("Coder", None):
        messages = [QUESTION, said("words one", speaker), said("words two", speaker)]
        assert repair(messages, profile).messages[1]["content"] == "words one\n\nwords two"


@each_template
def test_the_users_words_behind_a_label_are_labelled_as_theirs(path: Path) -> None:
    """A result with an image, then a question: one turn of labelled text has an end."""
    template, profile = learnt(path)
    shot = [{"type": "text", "text": "Taken:"}, {"type": "image_url", "image_url": {"url": "u"}}]
    messages: list[dict[str, Any]] = [
        QUESTION,
        {"role": "assistant", "content": None, "tool_calls": [call(0, "Oslo", "screenshot")]},
        {"role": "tool", "tool_call_id": "aB00Z0000", "content": shot},
        {"role": "user", "content": "Which text is on it?"},
    ]
    repaired = repair(messages, profile)
    prompt = template.render(repaired.messages)
    for turn in repaired.messages:
        text = str(turn["content"])
        if "[Tool result: screenshot]" in text and "Which text" in text:
            assert prompt.index("[User message]") < prompt.index("Which text is on it?")
            assert prompt.index("Taken:") < prompt.index("[User message]")


@each_template
def test_results_in_words_say_of_which_call_they_are(path: Path) -> None:
    """By the tool's name, and by a number where one tool is called twice in a message."""
    template, profile = learnt(path)
    messages: list[dict[str, Any]] = [
        QUESTION,
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [call(0, "Oslo"), call(1, "Rome"), call(2, "Bern", "map")],
        },
        *(
            {"role": "tool", "tool_call_id": f"aB00Z000{at}", "content": text}
            for at, text in ((1, "25 degrees"), (0, "12 degrees"), (2, "a map"))
        ),
        {"role": "user", "content": "thanks"},
    ]
    repaired = repair(messages, profile)
    prompt = template.render(repaired.messages)
    if "[Tool call: " in prompt and not any(m.get("tool_calls") for m in repaired.messages):
        numbered = [line for line in prompt.splitlines() if "[Tool " in line]
        one, two = (
            prompt.index(f"[Tool result: weather #{number}]\n{degrees} degrees")
            for number, degrees in ((1, 12), (2, 25))
        )
        assert prompt.index('[Tool call: weather #1]\n{"city": "Oslo"}') < min(one, two)
        assert prompt.index('[Tool call: weather #2]\n{"city": "Rome"}') < min(one, two)
        assert any("[Tool result: map]" in line for line in numbered)
