"""What is wrong with a /v1/messages request, in its own shape."""

from __future__ import annotations

import pytest

from litellm_role_guard.endpoints.anthropic import find_anthropic_error, translatable

USER = {"role": "user", "content": "hi"}
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "42"}
CALL = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}


@pytest.mark.parametrize(
    ("messages", "system", "words"),
    [
        (None, None, "messages: missing"),
        ("hi", None, "messages: must be a list"),
        ([], "be kind", "messages: empty"),
        ([USER, {"content": "hi"}], "be kind", "messages[1]: has no role"),
        ([USER, {"role": "tool", "content": "42"}], None, "messages[1]: unknown role 'tool'"),
        ([USER, {"role": "wizard", "content": "x"}], None, "messages[1]: unknown role 'wizard'"),
        ([{"role": "user", "content": " "}], None, "messages[0]: no message has any text"),
    ],
)
def test_a_fault_is_named_by_its_message(messages: object, system: object, words: str) -> None:
    """The message's index and the fault, counted as the client sent them."""
    assert str(find_anthropic_error(messages, system)).startswith(words)


@pytest.mark.parametrize(
    ("messages", "system"),
    [
        ([USER], None),
        ([USER, {"role": "system", "content": "be brief"}], None),
        ([{"role": "developer", "content": "be brief"}, USER], None),
        ([{"role": "user", "content": ""}], "be kind"),
        ([{"role": "user", "content": " "}], [{"type": "text", "text": "be kind"}]),
        ([{"role": "assistant", "content": [CALL]}, {"role": "user", "content": [RESULT]}], None),
    ],
)
def test_what_says_something_is_no_fault(messages: object, system: object) -> None:
    """Tool blocks, later system messages and system text beside the messages are all fine."""
    assert find_anthropic_error(messages, system) is None


def test_a_developer_message_is_renamed_where_it_stands() -> None:
    """LiteLLM would drop it; as a system message it is translated like any other."""
    developer = {"role": "developer", "content": "be brief"}
    renamed = translatable([USER, developer, USER])
    assert renamed == [USER, {"role": "system", "content": "be brief"}, USER]
    assert developer["role"] == "developer"
    assert translatable([USER]) is None
