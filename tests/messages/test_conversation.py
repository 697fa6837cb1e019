"""What a request's messages are called when they are no conversation."""

from __future__ import annotations

from typing import Any

import pytest

from litellm_role_guard.messages.message import has_media, part_text, texts
from litellm_role_guard.messages.validation import find_validation_error

GOOD: dict[str, Any] = {"role": "user", "content": "hello"}


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        (None, "messages: missing"),
        ("hello", "messages: must be a list, not a string"),
        ({}, "messages: must be a list, not an object"),
        ([], "messages: empty; at least one message is needed"),
        ([GOOD, "hello"], "messages[1]: must be an object, not a string"),
        ([GOOD, {"content": "hello"}], "messages[1]: has no role"),
        ([{"role": 7, "content": ""}], "messages[0]: role must be a string, not a number"),
        ([GOOD, {"role": "bot", "content": "x"}], "messages[1]: unknown role 'bot'"),
        ([{"role": "user", "content": 5}], "messages[0]: content must be a string or a list"),
        ([{"role": "user", "content": {}}], "messages[0]: content must be a string or a list"),
        ([{"role": "user", "content": [7]}], "messages[0]: content[0] must be an object"),
        ([{"role": "user", "content": [{}]}], "messages[0]: content[0] has no type"),
        (
            [{"role": "user", "content": [{"type": "text", "text": 5}]}],
            "messages[0]: content[0] of type 'text' needs a string under 'text', not a number",
        ),
        ([{"role": "assistant", "tool_calls": {}}], "messages[0]: tool_calls must be a list"),
        ([{"role": "assistant", "tool_calls": ["f"]}], "messages[0]: tool_calls[0] must be"),
        (
            [GOOD, {"role": "tool", "tool_call_id": 7, "content": "x"}],
            "messages[1]: tool_call_id must be a string, not a number",
        ),
        (
            [{"role": "assistant", "tool_calls": [{"id": ["x"]}]}],
            "messages[0]: tool_calls[0].id must be a string, not a list",
        ),
        ([{**GOOD, "name": {}}], "messages[0]: name must be a string, not an object"),
        ([{"role": "user", "content": " "}], "messages[0]: no message has any text"),
        ([{"role": "user"}, {"role": "assistant"}], "messages[1]: no message has any text"),
    ],
)
def test_a_fault_is_named_with_its_place(messages: object, words: str) -> None:
    """The index of the message and what is wrong with it."""
    assert str(find_validation_error(messages)).startswith(words)


@pytest.mark.parametrize(
    "messages",
    [
        [GOOD],
        [{"role": "user", "content": ["hello", {"type": "text", "text": ""}]}],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u"}}]}],
        [{"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f"}}]}],
        [GOOD, {"role": "assistant", "content": None}],
        [{"role": "user", "content": [{"type": "text", "text": None}, "x"]}],
        [{"role": "assistant", "content": None, "refusal": "I will not"}],
        [GOOD, {"role": "tool", "tool_call_id": None, "name": None, "content": "x"}],
        [{"role": "assistant", "tool_calls": [{"type": "custom", "custom": {"name": "f"}}]}],
    ],
)
def test_what_a_template_can_judge_is_no_fault(messages: list[Any]) -> None:
    """A conversation with some text, an image or a call is left to the template."""
    assert find_validation_error(messages) is None


def test_further_roles_can_be_known() -> None:
    """A template with roles of its own is served by a setting."""
    assert (
        find_validation_error([{"role": "critic", "content": "x"}], extra_roles=["critic"]) is None
    )


def test_a_fault_holds_no_message_text() -> None:
    """Only the role, which is a name by contract, and never more than its beginning."""
    fault = str(find_validation_error([{"role": "secret" * 50, "content": "x"}]))
    assert len(fault) < 200


def test_texts_are_given_whatever_their_part_is_called() -> None:
    """Strings, text parts, refusals and thoughts are all texts; images are none."""
    parts = [
        "a",
        {"type": "input_text", "text": "b"},
        {"type": "refusal", "refusal": "c"},
        {"type": "image_url", "image_url": {"url": "u"}},
        {"type": "thinking", "thinking": "d"},
    ]
    assert list(texts({"role": "user", "content": parts})) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("kind", [["text"], {"type": "text"}, [], None, 5])
def test_a_part_whose_type_is_no_word_has_no_text(kind: Any) -> None:
    """It is some medium that nobody knows, and never a traceback."""
    part = {"type": kind, "text": "hm"}
    assert part_text(part) is None
    assert has_media({"role": "user", "content": [part]})
