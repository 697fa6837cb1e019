"""What stands beside a tool call costs the call nothing."""

from __future__ import annotations

from typing import Any

import pytest

from litellm_role_guard import ChatTemplate, TemplateProfile, repair
from testing.relaxed import as_known, relaxed

# As Devstral Small 2507 does: parts are looped over, and the first must be there.
WANTS_CONTENT = ChatTemplate(
    "{% for m in messages %}"
    "{% if m.role == 'assistant' and m.tool_calls and not m.content %}"
    "{{ raise_exception('Assistant message must have content!') }}{% endif %}"
    "<{{ m.role }}>"
    "{% if m.content is string %}{{ m.content }}"
    "{% else %}{% for part in m.content %}{{ part.text }}{% endfor %}{% endif %}"
    "{% for call in m.tool_calls or [] %}"
    "[{{ call.id }} {{ call.function.name }} {{ call.function.arguments | tojson }}]"
    "{% endfor %}{{ m.tool_call_id or '' }}{% endfor %}"
)


def conversation(content: Any, *, there: bool = True) -> list[dict[str, Any]]:
    """Return a round whose call has this content, or none at all."""
    function = {"name": "weather", "arguments": '{"city": "Oslo"}'}
    call = {"id": "call00001", "type": "function", "function": function}
    reply: dict[str, Any] = {"role": "assistant", "tool_calls": [call]}
    if there:
        reply["content"] = content
    return [
        {"role": "user", "content": "how is the weather?"},
        reply,
        {"role": "tool", "tool_call_id": "call00001", "content": "sunny"},
        {"role": "assistant", "content": "It is sunny."},
        {"role": "user", "content": "thanks"},
    ]


@pytest.mark.parametrize("content", ["", "I will look."])
def test_a_call_with_a_string_beside_it_is_left_alone(content: str) -> None:
    """That null would be refused there is no reason to touch it."""
    messages = conversation(content)
    assert repair(messages, TemplateProfile.learn(WANTS_CONTENT)).messages is messages


@pytest.mark.parametrize("messages", [conversation(None), conversation(None, there=False)])
def test_null_becomes_an_empty_string(messages: list[dict[str, Any]]) -> None:
    """The call stays a call, and its result a result."""
    repaired = repair(messages, TemplateProfile.learn(WANTS_CONTENT))
    assert [message["role"] for message in repaired.messages] == [m["role"] for m in messages]
    assert repaired.messages[1] == {**messages[1], "content": ""}
    assert "sunny" in WANTS_CONTENT.render(repaired.messages)


def test_the_relaxed_template_does_the_same() -> None:
    """To the last character."""
    profile = TemplateProfile.learn(WANTS_CONTENT)
    known = as_known(WANTS_CONTENT, conversation(None))
    expected = WANTS_CONTENT.render(repair(known, profile).messages)
    assert relaxed(WANTS_CONTENT, profile).render(conversation(None)) == expected
