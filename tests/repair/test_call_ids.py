"""Tool call ids in the form that a template wants, whichever way they are off."""

from __future__ import annotations

from typing import Any

import pytest

from litellm_role_guard import ChatTemplate, TemplateProfile, repair

TEMPLATE = """{%% for m in messages %%}{%% for call in m.tool_calls or [] %%}
{%% if %s %%}{{ raise_exception("Tool call IDs should be alphanumeric strings!") }}{%% endif %%}
[{{ call.id }} {{ call.function.name }} {{ call.function.arguments | tojson }}]{%% endfor %%}
<{{ m.role }}>{{ m.tool_call_id or "" }} {{ m.content }}{%% endfor %%}"""


def conversation(call_id: str) -> list[dict[str, Any]]:
    """Return a round with a call of this id."""
    function = {"name": "weather", "arguments": '{"city": "Oslo"}'}
    calls = [{"id": call_id, "type": "function", "function": function}]
    return [
        {"role": "user", "content": "how is the weather?"},
        {"role": "assistant", "content": "", "tool_calls": calls},
        {"role": "tool", "tool_call_id": call_id, "content": "sunny"},
        {"role": "user", "content": "thanks"},
    ]


@pytest.mark.parametrize("condition", ["call.id | length < 9", "call.id | length > 9"])
@pytest.mark.parametrize("call_id", ["call_s1", "c", "call_0123456789abcdef"])
def test_an_id_of_a_length_that_is_refused_gets_one_that_is_taken(
    condition: str, call_id: str
) -> None:
    """The call stays a call, and its result answers it."""
    template = ChatTemplate(TEMPLATE % condition)
    sent = repair(conversation(call_id), TemplateProfile.learn(template)).messages
    assert "sunny" in template.render(sent)
    assert sent[1]["tool_calls"][0]["id"] == sent[2]["tool_call_id"]


def test_an_id_that_is_taken_stays() -> None:
    """Where any length is taken, nothing changes."""
    profile = TemplateProfile.learn(ChatTemplate(TEMPLATE % "false"))
    messages = conversation("call_s1")
    assert repair(messages, profile).messages is messages
