"""Empty messages that a template passes over, and what it makes of the messages beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from litellm_role_guard import ChatTemplate, TemplateProfile, repair
from testing.learnt import learnt
from testing.real_templates import REAL, name
from testing.size import some

FIRST_ONLY = """{%- if messages[0].role in ['system', 'developer'] -%}
SYS:{{ messages[0].content }};{% set messages = messages[1:] %}{%- endif -%}
{%- for m in messages -%}{%- if m.role != 'tool' -%}{{ m.role }}:{{ m.content or '' }};
{%- if m.tool_calls -%}{{ m.tool_calls[0].function | tojson }};
{%- for k in range(loop.index, messages | length) -%}
{%- if messages[k].role != 'tool' -%}{%- break -%}{%- endif -%}
RESULT:{{ messages[k].content }};{%- endfor -%}{%- endif -%}{%- endif -%}{%- endfor -%}"""
"""Knows a developer message at the very front alone, and results right behind their call alone."""

each_empty = pytest.mark.parametrize("empty", ["", None])


def render(messages: list[dict[str, Any]]) -> str:
    """Return the prompt of a repaired conversation."""
    template = ChatTemplate(FIRST_ONLY)
    return template.render(repair(messages, TemplateProfile.learn(template)).messages)


@each_empty
def test_a_developer_message_leads_though_an_empty_result_stands_before_it(
    empty: str | None,
) -> None:
    """An empty result of no call takes the front from it, and says nothing itself."""
    result = {"role": "tool", "tool_call_id": "call_of_nobody", "content": empty}
    said = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "hello"}]
    assert render([result, *said]) == "SYS:Be brief.;user:hello;"


@each_empty
def test_an_empty_developer_message_hides_no_result_behind_it(empty: str | None) -> None:
    """Where the template looks for results in the messages right behind a call."""
    function = {"name": "look_up", "arguments": "{}"}
    call = {"id": "aB0000000", "type": "function", "function": function}
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "developer", "content": empty},
        {"role": "tool", "tool_call_id": "aB0000000", "content": "found"},
    ]
    assert render(messages).endswith("RESULT:found;")


def of_chatml(check: str) -> ChatTemplate:
    """Return a template of plain turns, tool calls among them, with a check or a filter before."""
    return ChatTemplate(
        check + "{%- for m in messages -%}<{{ m.role if m.role != 'tool' else 'user' }}>"
        "{%- if m.role == 'tool' -%}RESULT {% endif -%}{{ m.content or '' }}"
        "{%- for c in m.tool_calls or [] -%}CALL {{ c.function | tojson }}{%- endfor -%}"
        "{%- endfor -%}"
    )


def repaired(template: ChatTemplate, *messages: dict[str, Any]) -> str:
    """Return the prompt of a repaired conversation."""
    return template.render(repair(messages, TemplateProfile.learn(template)).messages)


def test_an_invented_turn_says_something_where_an_empty_one_is_left_out() -> None:
    """Else the template would still lack a user turn."""
    template = of_chatml(
        "{%- set messages = messages | selectattr('content') | list -%}"
        "{%- if not messages | selectattr('role', 'equalto', 'user') | list -%}"
        "{{ raise_exception('No user query found') }}{%- endif -%}"
    )
    prompt = repaired(template, {"role": "system", "content": "Be brief."})
    assert prompt == "<system>Be brief.<user>..."


@each_empty
def test_several_empty_messages_at_the_front_are_left_out_where_none_is_taken(
    empty: str | None,
) -> None:
    """Though the server would merge them, it would merge them to an empty one."""
    template = of_chatml(
        "{%- for m in messages if not m.content -%}{{ raise_exception('empty') }}{%- endfor -%}"
    )
    front = [{"role": role, "content": empty} for role in ("system", "developer")]
    assert repaired(template, *front, {"role": "user", "content": "hello"}) == "<user>hello"


BLANK_PARTS: list[dict[str, Any]] = [{"type": "text", "text": ""}]


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("blank", [BLANK_PARTS, BLANK_PARTS * 2, "", None])
def test_parts_in_which_nothing_stands_are_left_out_where_no_empty_message_is_taken(
    place: int, blank: Any
) -> None:
    """As an empty string is: the server makes the same of them."""
    template = of_chatml(
        "{%- for m in messages if not m.content -%}{{ raise_exception('empty') }}{%- endfor -%}"
    )
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "hi"},
    ]
    messages.insert(place, {"role": "assistant", "content": blank})
    assert repaired(template, *messages) == "<user>hello<assistant>hi"


@each_empty
def test_an_empty_result_stays_where_no_empty_one_is_taken(empty: str | None) -> None:
    """Else the next result would pass for that of its call."""
    template = of_chatml(
        "{%- for m in messages if not m.content and not m.tool_calls -%}"
        "{{ raise_exception('empty') }}{%- endfor -%}"
    )
    calls = [
        {"id": f"aB00Z000{at}", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        for at in range(2)
    ]
    prompt = repaired(
        template,
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "aB00Z0000", "content": empty},
        {"role": "tool", "tool_call_id": "aB00Z0001", "content": "found"},
    )
    assert prompt.endswith("<user>RESULT [Nothing]<user>RESULT found")


@pytest.mark.parametrize("developer", ["", None])
def test_an_empty_developer_message_alone_becomes_no_empty_system_message(
    developer: str | None,
) -> None:
    """Where the server would make one of it that the template does not take."""
    template = of_chatml(
        "{%- for m in messages if not m.content -%}{{ raise_exception('empty') }}{%- endfor -%}"
    )
    late = {"role": "developer", "content": developer}
    assert repaired(template, {"role": "user", "content": "hello"}, late) == "<user>hello"


def test_an_empty_turn_that_leaves_no_trace_is_no_turn() -> None:
    """Two turns of the assistant's are joined, though an empty one of the user's is between."""
    template = ChatTemplate(
        "{%- set messages = messages | selectattr('content') | list -%}"
        "{%- for m in messages -%}{%- if loop.previtem and loop.previtem.role == m.role -%}"
        "{{ raise_exception('two in a row') }}{%- endif -%}<{{ m.role }}>{{ m.content }}"
        "{%- endfor -%}"
    )
    turns = [("user", "hello"), ("assistant", "one"), ("user", ""), ("assistant", "two")]
    prompt = repaired(template, *({"role": role, "content": said} for role, said in turns))
    assert prompt == "<user>hello<assistant>one\n\ntwo"


def test_what_is_left_out_before_a_developer_message_leaves_it_at_the_front() -> None:
    """There it is looked at like any other at the front; read from the content's first part."""
    template = ChatTemplate(
        "{%- for m in messages -%}{{ m.role }}{{ ':' if m.content[0].type == 'image' else ': ' }}"
        "{%- for part in m.content -%}{{ part.text }}{%- endfor -%};{%- endfor -%}"
    )
    result: dict[str, Any] = {"role": "tool", "tool_call_id": "call_of_nobody"}
    messages: list[dict[str, Any]] = [
        {**result, "content": ""},
        {"role": "developer", "content": None},
        {**result, "content": "found"},
        {"role": "system", "content": None},
    ]
    assert "[Tool result]\nfound" in repaired(template, *messages)


@each_empty
@pytest.mark.parametrize("path", some(REAL), ids=name)
def test_an_empty_developer_message_behind_system_text_needs_one_repair(
    path: Path, empty: str | None
) -> None:
    """Also where the user says the system text, beside which the empty message said nothing."""
    roles = {"system": "Be brief.", "user": "hello", "developer": empty}
    messages = [{"role": role, "content": said} for role, said in roles.items()]
    _, profile = learnt(path)
    repaired = repair(messages, profile).messages
    assert repair(repaired, profile).messages is repaired
