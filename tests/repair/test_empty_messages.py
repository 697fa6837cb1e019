"""Empty messages that a template passes over, and what it makes of the messages beside them."""

from __future__ import annotations

from typing import Any

import pytest

from litellm_role_guard import ChatTemplate, TemplateProfile, repair

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
