"""What of a conversation is in a prompt, whatever its texts are."""

from __future__ import annotations

from typing import Any

import pytest

from litellm_role_guard import ChatTemplate, TemplateRefused
from litellm_role_guard.messages.validation import find_validation_error
from litellm_role_guard.template.prompt_reading import read_in
from testing.cases import CASES
from testing.conversations import Case, assistant, calls, developer, parts, result, system, user
from testing.further_cases import FURTHER
from testing.marks import marked
from testing.real_templates import REAL, name

# `refusal` is a field that no mark is put into; the name of a called tool is not marked either.
UNMARKED = ("refusal", "empty-arguments")


def states(prompt: str, *messages: Any) -> list[str]:
    """Give what becomes of each message."""
    return [reading.state for reading in read_in(prompt, messages)]


@pytest.mark.parametrize("path", REAL, ids=name)
def test_it_agrees_with_marks_on_real_templates(path: Any) -> None:
    """Where a mark in each text would be missing from the prompt, something is lost or moved."""
    template = ChatTemplate.from_path(path)
    differ = []
    for case in (*CASES, *FURTHER):
        if case.name not in UNMARKED and find_validation_error(case.messages) is None:
            whole = _is_whole(template, case)
            if whole is not None and whole != _is_read_whole(template, case):
                differ.append(case.name)
    assert not differ


def _is_whole(template: ChatTemplate, case: Case) -> bool | None:
    marks = marked(case)
    try:
        return not marks.unread(template.render(marks.messages, tools=case.tools))
    except TemplateRefused:
        return None


def _is_read_whole(template: ChatTemplate, case: Case) -> bool:
    prompt = template.render(case.messages, tools=case.tools)
    return all(reading.state == "read" for reading in read_in(prompt, case.messages))


def test_what_is_not_there_is_lost_and_named() -> None:
    """The message that it stands in is told, with the text, and the others are read."""
    readings = read_in("<u>one<a>two<u>four", [user("one"), assistant("two"), user("three")])
    assert [reading.state for reading in readings] == ["read", "read", "lost"]
    assert [reading.missing for reading in readings] == [(), (), ("three",)]


def test_what_stands_elsewhere_is_moved() -> None:
    """All of it is in the prompt, but before what was said earlier."""
    talk = (user("list"), developer("the sandbox is read-only"), user("now"))
    prompt = "<s>the sandbox is read-only<u>list<u>now"
    assert states(prompt, *talk) == ["read", "moved", "read"]


def test_leading_system_text_may_stand_anywhere() -> None:
    """Some templates show it in the last user turn; later system text has no such freedom."""
    talk = (system("be brief"), developer("use tabs"), user("hi"), assistant("ho"), user("so?"))
    readings = read_in("<u>hi<a>ho<u>use tabs be brief so?", talk)
    assert [reading.state for reading in readings] == ["read"] * 5
    assert [reading.leading for reading in readings] == [True, True, False, False, False]
    assert states("<u>ho<u>hi", user("hi"), system("ho")) == ["read", "moved"]


def test_a_text_that_is_said_twice_has_to_be_there_twice() -> None:
    """And the one that is missing is the one between those that are there."""
    talk = (user("yes"), system("yes"), user("no"), system("yes"), user("maybe"))
    assert states("<u>yes<s>yes<u>no<s>yes<u>maybe", *talk) == ["read"] * 5
    assert states("<u>yes<u>no<s>yes<u>maybe", *talk) == ["read", "lost", "read", "read", "read"]
    assert states("<u>yes<s>yes<u>no<u>maybe", *talk) == ["read", "read", "read", "lost", "read"]


def test_a_lost_text_that_comes_again_costs_none_of_those_between() -> None:
    """A later place is not taken for it where that would lose what was said before that place."""
    talk = (system("a rule"), user("hi"), system("go on"), assistant("ho"), user("go on"))
    assert states("<s>a rule<u>hi<a>ho<u>go on", *talk) == ["read", "read", "lost", "read", "read"]
    assert states("<u>hi<a>hi there", assistant("hi there"), user("hi")) == ["read", "moved"]


def test_a_text_within_another_is_not_read() -> None:
    """What a longer text holds was said by somebody else."""
    assert states("<u>hello again", system("hello"), user("hello again")) == ["lost", "read"]
    talk = (calls("a", city="Oslo"), result("a", "Oslo is sunny"))
    assert states("weather(Oslo)<t>Oslo is sunny", *talk) == ["read", "read"]
    assert states("weather()<t>Oslo is sunny", *talk) == ["lost", "read"]


def test_blanks_do_not_count() -> None:
    """Templates strip them, and join parts with some of their own."""
    talk = (user(" padded \n"), parts("assistant", "in ", " parts\n\n\nhere"), user(" \n"))
    assert states("<u>padded<a>in\nparts\n\nhere", *talk) == ["read", "read", "read"]


def test_forms_of_json_count_as_the_text() -> None:
    """Arguments and some results are written as JSON, or as Python writes a dict."""
    expected_texts = 'Århus, "the town"\nof smiles'
    for written in (
        '{"output": "Århus, \\"the town\\"\\nof smiles"}',
        '{"output": "\\u00c5rhus, \\"the town\\"\\nof smiles"}',
        "{'output': 'Århus, \"the town\"\\nof smiles'}",
    ):
        assert states(written, result("a", expected_texts)) == ["read"]


def test_a_round_of_calls_may_pair_each_with_its_result() -> None:
    """Calls and their results are found in any order, and never outside of their round."""
    talk = (user("both?"), calls("a", "b", city="Bern"), result("a", "cold"), result("b", "warm"))
    paired = "both?weather Bern<t>cold<a>weather Bern<t>warm"
    assert states(paired, *talk) == ["read"] * 4
    assert states(f"{paired}<u>bye", *talk, user("bye")) == ["read"] * 5
    assert states(f"bye{paired}", *talk, user("bye")) == [*["read"] * 4, "moved"]


def test_arguments_that_are_no_json_are_looked_for_as_they_are() -> None:
    """vLLM drops them, so that they are lost."""
    (call,) = calls("a")["tool_calls"]
    call = {**call, "function": {"name": "weather", "arguments": '{"city": '}}
    (reading,) = read_in('weather({"call": {}})', [{"role": "assistant", "tool_calls": [call]}])
    assert reading.missing == ('{"city":',)


def test_thoughts_are_not_looked_for() -> None:
    """Templates leave them out of later prompts on purpose."""
    assert states("<a>hello", assistant("<think>hm</think>\nhello")) == ["read"]
    assert states("<u>hello", user("<think>hm</think>\nhello")) == ["lost"]


def test_a_long_chat_of_few_words_is_judged_in_time() -> None:
    """Hundreds of turns that say the same, of which a template has dropped some."""
    talk = [role("ok" if at % 3 else "go on") for at in range(300) for role in (user, assistant)]
    kept = [message for at, message in enumerate(talk) if at % 17]
    prompt = "".join(f"<{message['role']}>{message['content']}" for message in kept)
    lost = [at for at, reading in enumerate(read_in(prompt, talk)) if reading.state != "read"]
    assert len(lost) <= len(talk) - len(kept) + 2
    assert lost
