"""A backend's 400 is read into a lesson, or left alone."""

from __future__ import annotations

from typing import Any

import pytest

from litellm_role_guard.profile.refusals import MAX_NAMED, Refusal, read_refusal, teach
from litellm_role_guard.profile.template_profile import TemplateProfile
from litellm_role_guard.repair.chain import repair

EMPTY = TemplateProfile()

FAMILIES = {
    "Conversation roles must alternate user/assistant/user/assistant/...": "turns",
    "After the optional system message, conversation roles must alternate user/assistant": "turns",
    "Conversation roles must alternate user and assistant roles except for tool calls and "
    "results.": "turns",
    "Unexpected role 'user' after role 'tool'": "turns",
    "System role not supported": "system_role",
    "System message must be at the beginning.": "system_place",
    "No user query found in messages.": "no_user",
    "Unexpected message role.": "unknown_role",
    "Only user and assistant roles are supported, with the exception of an initial optional "
    "system message!": "unknown_role",
    "This model only supports single tool-calls at once!": "parallel_calls",
    "Tool call IDs should be alphanumeric strings with length 9!": "call_id",
    "Message has tool role, but there was no previous assistant message with a tool call!": (
        "tool_result"
    ),
    "Unexpected role 'tool' after role 'user'": "tool_result",
    "Not the same number of function calls and responses": "tool_result",
    "Expected last role User or Tool (or Assistant with prefix True) for serving but got "
    "assistant": "last_turn",
    "Cannot have 2 or more assistant messages at the end of the list.": "last_turn",
    "Cannot set `add_generation_prompt` to True when the last message is from the assistant.": (
        "last_turn"
    ),
    # mistral-common's, as vLLM passes them on
    "Unexpected role 'system' after role 'assistant'": "system_place",
    "Unknown message role: function": "unknown_role",
    "Duplicate tool call id abc000001 in tool results": "tool_result",
    "Unexpected tool call id abc000001 in tool results": "tool_result",
    "Tool call id was call_1 but must be a-z, A-Z, 0-9, with a length of 9.": "call_id",
    "'tool_call_id'": "call_id",
    "Assistant message must have either content or tool_calls, but not both.": "call_text",
    "Cannot have tool calls and content defined in the same assistant message": "call_text",
    "Tools not implemented for tokenizer V1": "no_tools",
    "'refusal' is not a valid ChunkTypes": "content",
    "System prompt must have content": "content",
    "'content'": "content",
}


@pytest.mark.parametrize(("text", "family"), FAMILIES.items())
def test_the_words_of_real_refusals_name_their_family(text: str, family: str) -> None:
    """Bare, in vLLM's JSON, and in LiteLLM's wrapping."""
    for wrapped in (
        text,
        f'{{"error":{{"message":"{text}","type":"BadRequestError","param":null,"code":400}}}}',
        f"litellm.BadRequestError: Hosted_vllmException - {text}",
    ):
        refusal = read_refusal(wrapped)
        assert refusal is not None
        assert refusal.family == family


@pytest.mark.parametrize(
    "text",
    [
        "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens",
        "max_tokens must be at least 1, got 0.",
        "'max_tokens' or 'max_completion_tokens' is too large: 9999.",
        "gemma3 is not a multimodal model",
        "Invalid JSON schema: unknown type",
        "[{'type': 'extra_forbidden', 'loc': ('body', 'foo'), 'msg': 'Extra inputs'}]",
        "temperature must be non-negative, got -1.0.",
        "1 validation error: Input should be a valid string content must be a string",
        "Unsupported role in response_format",
        "The last message must be shorter",
        "",
    ],
)
def test_other_errors_are_no_refusals(text: str) -> None:
    """What no repair can change is never retried."""
    assert read_refusal(text) is None


@pytest.mark.parametrize("text", FAMILIES)
def test_each_refusal_teaches_something_and_only_so_often(text: str) -> None:
    """A ladder of lessons ends, and says so by giving the same profile back."""
    refusal = read_refusal(text)
    assert refusal is not None
    profile, lessons = EMPTY, 0
    while (taught := teach(profile, refusal)) is not profile:
        profile, lessons = taught, lessons + 1
        assert lessons < 9
    assert lessons >= 1


def test_a_lesson_holds_for_requests_with_tools_as_well() -> None:
    """Both sets of rules are revised."""
    refusal = read_refusal("System role not supported")
    assert refusal is not None
    taught = teach(TemplateProfile(with_tools=TemplateProfile()), refusal)
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    for tools in (None, [{"type": "function"}]):
        roles = [message["role"] for message in repair(messages, taught, tools=tools).messages]
        assert roles == ["user", "user"]


def test_alternation_is_learnt_before_anything_that_costs_more() -> None:
    """The first lesson of a refused run of turns joins them, and leaves system and tools alone."""
    refusal = read_refusal("Conversation roles must alternate")
    assert refusal is not None
    taught = teach(EMPTY, refusal)
    messages = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "a"},
        {"role": "user", "content": "b"},
    ]
    repaired = repair(messages, taught).messages
    assert [message["content"] for message in repaired] == ["s", "a\n\nb"]


def test_tools_stay_tools_after_a_refusal_that_is_about_the_turn_after_a_result() -> None:
    """What is learnt from an interrupted tool round does not touch one that is complete."""
    call = {"id": "123456789", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    complete: list[dict[str, Any]] = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "123456789", "content": "b"},
        {"role": "assistant", "content": "c"},
        {"role": "user", "content": "d"},
    ]
    interrupted = [*complete[:3], complete[4]]
    refusal = read_refusal("conversation roles must alternate")
    assert refusal is not None
    profile = TemplateProfile.cautious()
    assert repair(interrupted, profile).messages is interrupted
    profile = teach(profile, refusal)
    roles = [message["role"] for message in repair(interrupted, profile).messages]
    assert roles == ["user", "assistant", "tool", "assistant", "user"]
    assert repair(complete, profile).messages is complete


def test_a_refusal_of_many_faults_is_compared_with_little_of_what_was_said() -> None:
    """Of an error that names a fault in many words a few are looked for in the client's words,
    which may be megabytes."""
    words = " ".join(f"unexpected role x{at} after role" for at in range(50))
    few = " ".join(f"unexpected role x{at} after role" for at in range(MAX_NAMED))
    assert read_refusal(words, few) is None
    assert read_refusal(words) == Refusal("turns")
