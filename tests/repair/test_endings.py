"""The end of a conversation, after which a template lets a reply be asked for."""

from __future__ import annotations

from typing import Any

from litellm_role_guard import ChatTemplate, TemplateProfile, repair

USER_LAST = ChatTemplate(
    "{%- set seen = namespace(last='') -%}{%- for m in messages -%}"
    "{%- if m.role == seen.last == 'user' or (loop.last and m.role != 'user') -%}"
    "{{ raise_exception('the last message must be the user\\'s, once') }}{%- endif -%}"
    "{%- if m.role in ['user', 'assistant'] and not m.tool_calls -%}"
    "{%- set seen.last = m.role -%}{%- endif -%}<{{ m.role }}>{{ m.content or '' }}"
    "{%- for c in m.tool_calls or [] -%}CALL {{ c.function | tojson }}{%- endfor -%}{%- endfor -%}"
)
"""Wants the user's words at the end, and no two turns of the user's without an answer."""

QUESTION = {"role": "user", "content": "the weather?"}
ROUND: list[dict[str, Any]] = [
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": "aB0000000",
                "type": "function",
                "function": {"name": "weather", "arguments": '{"city": "Oslo"}'},
            }
        ],
    },
    {"role": "tool", "tool_call_id": "aB0000000", "content": "sunny"},
]


def repaired(*messages: dict[str, Any]) -> str:
    """Return the prompt of a repaired conversation."""
    return USER_LAST.render(repair(messages, TemplateProfile.learn(USER_LAST)).messages)


def test_a_round_is_in_words_where_only_the_user_may_come_last() -> None:
    """The result is the user's to say, and its call stands before it as words, too."""
    assert repaired(QUESTION, *ROUND) == (
        "<user>the weather?<assistant>[Tool call: weather]\n"
        '{"city": "Oslo"}<user>[Tool result: weather]\nsunny'
    )


def test_system_text_is_said_by_the_user_where_only_the_user_may_come_last() -> None:
    """Behind a label, in the user's last turn."""
    late = {"role": "system", "content": "Be brief."}
    assert repaired(QUESTION, late) == "<user>the weather?\n\n[System message]\nBe brief."
    assert repaired(QUESTION, {**late, "content": ""}) == "<user>the weather?"
