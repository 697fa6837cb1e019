"""Tool call ids in the form that a template wants, whichever way they are off."""

from __future__ import annotations

from typing import Any

import pytest

from litellm_role_guard import ChatTemplate, TemplateProfile, repair
from testing.relaxed import relaxed, rendered

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


def test_an_id_that_is_in_two_messages_and_twice_in_one_tells_whose_result_it_is() -> None:
    """Where ids are shown, each of the calls gets one of its own; else the last would be taken."""
    profile = TemplateProfile.learn(ChatTemplate(TEMPLATE % "false"))
    function = {"name": "weather", "arguments": '{"city": "Oslo"}'}
    rounds = [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": one, "type": "function", "function": function} for one in ids],
        }
        for ids in (("c1", "c2"), ("c1", "c1"))
    ]
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "how is the weather?"},
        *rounds,
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
    ]
    sent = repair(messages, profile).messages
    ids = [call["id"] for message in sent[1:3] for call in message["tool_calls"]]
    assert len(set(ids)) == 4
    assert sent[3]["tool_call_id"] == ids[0]


@pytest.mark.parametrize("role", ["function", "developer", "system"])
def test_an_empty_message_that_is_left_out_parts_no_calls(role: str) -> None:
    """The calls before it still wait for their results: the first of two with the same id, too."""
    template = ChatTemplate(
        "{% for m in messages %}{% if m.role not in ['user', 'assistant', 'tool'] %}"
        "{{ raise_exception('unknown role') }}{% endif %}<{{ m.role }}>{{ m.content or '' }}"
        "{% for call in m.tool_calls or [] %}{{ call.function | tojson }}{% endfor %}{% endfor %}"
    )
    called = [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "weather", "arguments": f'{{"city": "{city}"}}'},
                }
            ],
        }
        for city in ("Oslo", "Rome")
    ]
    empty = {"role": role, "content": "", "name": "weather"}
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "how is the weather?"},
        *(called[0], empty, called[1]),
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
    ]
    sent = repair(messages, TemplateProfile.learn(template)).messages
    prompt = template.render(sent)
    assert prompt.index("sunny") < prompt.index("Rome") or "[Tool result" in prompt


NAMELESS = """{% for m in messages %}{% if m.role == 'tool' %}<return of {{ m.tool_call_id }}>
{% else %}<{{ m.role }}>{% endif %}{{ m.content }}{% for call in m.tool_calls or [] %}
<call {{ call.id }}>{{ call.function.arguments | tojson }}{% endfor %}
{% endfor %}"""


def test_an_id_says_the_name_of_its_call_where_nothing_else_does() -> None:
    """As models do that know a call by `functions.NAME:COUNT` alone; one that says it stays."""
    template = ChatTemplate(NAMELESS)
    profile = TemplateProfile.learn(template)
    assert profile.call_names == "not_read"
    first, second = conversation("call_0123"), conversation("call_4567")
    sent = repair([*first, *second], profile).messages
    prompt = template.render(sent)
    for at in (0, 1):
        assert f"<call functions.weather:{at}>" in prompt
        assert f"<return of functions.weather:{at}>" in prompt
    assert repair(sent, profile).messages is sent
    named = conversation("functions.weather:7")
    assert repair(named, profile).messages is named
    assert sent[:3] == repair(first[:3], profile).messages
    assert rendered(relaxed(template, profile), [*first, *second]) == prompt


def test_an_id_needs_no_name_where_the_call_shows_it() -> None:
    """Nor where a template shows no id at all."""
    shown = NAMELESS.replace("<call {{ call.id }}>", "<call {{ call.function.name }}>")
    for text in (shown, NAMELESS.replace("{{ call.id }}", "").replace("{{ m.tool_call_id }}", "")):
        assert TemplateProfile.learn(ChatTemplate(text)).call_names == "accepted"
