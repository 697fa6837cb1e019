"""A role that a template only prints, as it would print any other, is not one that it knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from litellm_role_guard import ChatTemplate, TemplateProfile, repair
from litellm_role_guard.probing.probe import TOOLS
from testing.learnt import learnt
from testing.real_templates import REAL, name
from testing.rightness import misread

PRINTS_ALL = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</{{ m.role }}>{% endfor %}"
KNOWS_TOOLS = (
    "{% for m in messages %}{% if m.role == 'tool' %}<result>{{ m.content }}</result>"
    "{% else %}<{{ m.role }}>{{ m.content }}{{ m.tool_calls | tojson if m.tool_calls }}"
    "</{{ m.role }}>{% endif %}{% endfor %}"
)
ROUND: list[dict[str, Any]] = [
    {"role": "user", "content": "question"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": f"aB00Z000{at}",
                "type": "function",
                "function": {"name": f"tool_{at}", "arguments": '{"word": "x"}'},
            }
            for at in range(2)
        ],
    },
    {"role": "tool", "tool_call_id": "aB00Z0000", "content": "first result"},
    {"role": "tool", "tool_call_id": "aB00Z0001", "content": "second result"},
    {"role": "assistant", "content": "answer"},
    {"role": "user", "content": "another"},
]


def test_a_role_that_is_printed_like_any_other_is_unknown() -> None:
    """But a system message is known where it is such a turn at the front."""
    follows = TemplateProfile.learn(ChatTemplate(PRINTS_ALL)).follows["user"]
    assert follows["tool"] == follows["function"] == "unknown"
    assert follows["system"] == "accepted"


def test_a_role_with_a_turn_of_its_own_is_known() -> None:
    """And so is a call whose result is."""
    follows = TemplateProfile.learn(ChatTemplate(KNOWS_TOOLS)).follows
    assert follows["user"]["call"] == follows["user+call"]["tool"] == "accepted"
    assert follows["user"]["function"] == "unknown"


def test_a_call_whose_result_is_unknown_is_no_call_either() -> None:
    """A round is one thing."""
    text = KNOWS_TOOLS.replace("'tool'", "'other'")
    assert TemplateProfile.learn(ChatTemplate(text)).follows["user"]["call"] == "unknown"


@pytest.mark.parametrize("path", REAL, ids=name)
def test_no_result_stands_in_a_turn_that_only_prints_its_role(path: Path) -> None:
    """All results of the round are labelled in place of that, and nothing is invented."""
    template, profile = learnt(path)
    repaired = repair(ROUND, profile)
    assert list(misread(template, repaired.messages, tools=False)) == []
    assert not any(change.what == "filled" for change in repaired.changes)
    if any(misread(template, ROUND, tools=False)):
        texts = [str(message["content"]) for message in repaired.messages]
        assert not any(message.get("tool_calls") for message in repaired.messages)
        assert any("[Tool result: tool_0]\nfirst result" in text for text in texts)
        assert any("[Tool result: tool_1]\nsecond result" in text for text in texts)


TAKES_THE_FIRST_FOR_THE_USER = (
    "{% if tools %}<user>{{ tools | tojson }}{{ messages[0].content }}</user>"
    "{% set messages = messages[1:] %}{% endif %}" + PRINTS_ALL
)


def test_the_assistant_s_words_are_unknown_where_they_pass_for_the_user_s() -> None:
    """Some templates put tools into the first turn, and take whatever it is for the user's."""
    template = ChatTemplate(TAKES_THE_FIRST_FOR_THE_USER)
    profile = TemplateProfile.learn(template)
    assert profile.follows["start"]["assistant"] == "accepted"
    assert profile.with_tools is not None
    assert profile.with_tools.follows["start"]["assistant"] == "unknown"
    greeting = [{"role": "assistant", "content": "Hi!"}, {"role": "user", "content": "hello"}]
    prompt = template.render(repair(greeting, profile, tools=TOOLS).messages, tools=TOOLS)
    assert prompt.endswith("<assistant>Hi!</assistant><user>hello</user>")


@pytest.mark.parametrize("path", REAL, ids=name)
def test_a_greeting_is_the_assistant_s(path: Path) -> None:
    """With tools and without, behind a system message and without one."""
    template, profile = learnt(path)
    greeting = [{"role": "assistant", "content": "Hi!"}, {"role": "user", "content": "hello"}]
    for front in ([], [{"role": "system", "content": "Be brief."}]):
        for tools in (None, TOOLS):
            sent = repair([*front, *greeting], profile, tools=tools).messages
            assert list(misread(template, sent, tools=bool(tools))) == []


def test_texts_that_are_printed_alone_are_told_apart_by_labels() -> None:
    """Nothing but a label says who spoke, and where it ends, and users alone need none."""
    template = ChatTemplate("{% for m in messages %}{{ m.content }}{% endfor %}")
    profile = TemplateProfile.learn(template)
    messages = [
        {"role": "user", "content": "question"},
        {"role": "assistant", "content": "answer"},
        {"role": "user", "content": "another"},
    ]
    assert template.render(repair(messages, profile).messages) == (
        "question\n\n[Assistant message]\nanswer\n\n[User message]\nanother"
    )
    prompt = template.render(repair(ROUND, profile).messages)
    assert "\n\n[Tool result: tool_1]\nsecond result\n\n[Assistant message]\nanswer\n" in prompt
    assert repair(messages[::2], profile).changes == ()
