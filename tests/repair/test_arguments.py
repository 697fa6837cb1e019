"""Arguments that are no object cost a call only where something would be lost."""

from __future__ import annotations

from typing import Any

import pytest

from litellm_role_guard.profile.template_profile import TemplateProfile
from litellm_role_guard.repair.chain import repair


def conversation(arguments: Any) -> list[dict[str, Any]]:
    """Return a round with a call of these arguments."""
    function = {"name": "get_time", "arguments": arguments}
    return [
        {"role": "user", "content": "what time is it?"},
        {
            "role": "assistant",
            "tool_calls": [{"id": "c1", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "noon"},
        {"role": "user", "content": "thanks"},
    ]


@pytest.mark.parametrize("arguments", ["null", "[]", " null ", "{}", "", None, {}])
def test_what_vllm_reads_as_no_arguments_stays_a_call(arguments: Any) -> None:
    """The very same messages go on."""
    messages = conversation(arguments)
    assert repair(messages, TemplateProfile()).messages is messages


@pytest.mark.parametrize("arguments", ["[1]", "5", '"Oslo"', '{"city": "Os', "[[]]", "true"])
def test_what_vllm_would_drop_is_written_out(arguments: str) -> None:
    """The words stand in the turn in which the call was made."""
    repaired = repair(conversation(arguments), TemplateProfile())
    assert repaired.messages[1]["content"] == f"[Tool call: get_time]\n{arguments}"
