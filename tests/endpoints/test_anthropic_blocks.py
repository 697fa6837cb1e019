"""What LiteLLM's translation of /v1/messages reads of content blocks."""

from __future__ import annotations

import copy
import cProfile
import json
import pstats
from typing import Any

import pytest
from litellm.llms.anthropic.pass_through.adapters.transformation import (
    LiteLLMAnthropicMessagesAdapter,
)

from litellm_role_guard.endpoints.anthropic import find_anthropic_error, translatable

USER = {"role": "user", "content": "hi"}
CALL = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
WORDS = {"type": "text", "text": "zebra"}
PLAIN = {"type": "text", "media_type": "text/plain", "data": "zebra"}
FETCHED = {
    "type": "web_search_result",
    "url": "http://a",
    "title": "zebra",
    "encrypted_content": "c2",
}
RAN = {"type": "code_execution_result", "stdout": "zebra", "return_code": 0}

DOCUMENTS: dict[str, dict[str, Any]] = {
    "a document": {"type": "document", "source": PLAIN, "title": "On animals"},
    "a document of blocks": {"type": "document", "source": {"type": "content", "content": [WORDS]}},
    "a search result": {
        "type": "search_result",
        "source": "http://a",
        "title": "t",
        "content": [WORDS],
    },
    "what is yet to come": {"type": "note", "body": {"said": "zebra"}},
}
RESULTS: dict[str, dict[str, Any]] = {
    "web_search": {"type": "web_search_tool_result", "content": [FETCHED]},
    "code_execution": {"type": "code_execution_tool_result", "content": RAN},
    "mcp": {"type": "mcp_tool_result", "content": [WORDS], "is_error": False},
}


def read(messages: list[Any]) -> list[Any]:
    """Give the chat messages that LiteLLM makes of these after the guard has changed them."""
    assert find_anthropic_error(messages, None) is None
    messages = translatable(messages) or messages
    adapter: Any = LiteLLMAnthropicMessagesAdapter
    chat: list[Any] = adapter().translate_anthropic_messages_to_openai(messages)
    return chat


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_what_a_user_attaches_is_read_as_text(kind: str) -> None:
    """Where it stands among the user's words; LiteLLM leaves it out."""
    content = [{"type": "text", "text": "see:"}, DOCUMENTS[kind], {"type": "text", "text": "so?"}]
    (message,) = read([{"role": "user", "content": content}])
    before, said, behind = (part["text"] for part in message["content"])
    assert (before, behind) == ("see:", "so?")
    assert "zebra" in said


def test_titles_stand_before_what_they_name() -> None:
    """A line each, and no JSON around what is text already."""
    document = {**DOCUMENTS["a document"], "context": "an old book", "citations": {"enabled": True}}
    (message,) = read([{"role": "user", "content": [document]}])
    assert message["content"] == [{"type": "text", "text": "On animals\nan old book\nzebra"}]
    (message,) = read([{"role": "user", "content": [DOCUMENTS["a search result"]]}])
    assert message["content"] == [{"type": "text", "text": "t\nhttp://a\nzebra"}]


@pytest.mark.parametrize("kind", [*DOCUMENTS, "tool_reference"])
def test_what_a_tool_returns_is_read_as_text(kind: str) -> None:
    """LiteLLM leaves it out of the result, or sends a part that no vLLM knows."""
    block = DOCUMENTS.get(kind, {"type": "tool_reference", "tool_name": "zebra"})
    result = {"type": "tool_result", "tool_use_id": "t1", "content": [block]}
    messages = [
        USER,
        {"role": "assistant", "content": [CALL]},
        {"role": "user", "content": [result]},
    ]
    said = read(messages)[2]
    assert (said["role"], said["tool_call_id"]) == ("tool", "t1")
    assert "zebra" in said["content"]


@pytest.mark.parametrize("name", RESULTS)
def test_what_the_provider_s_own_tools_did_is_a_round(name: str) -> None:
    """A call and its result; what the model said behind it is a turn behind it."""
    kind = "mcp_tool_use" if name == "mcp" else "server_tool_use"
    call = {"type": kind, "id": "s1", "name": name, "input": {"query": "stripes"}}
    content = [
        {"type": "text", "text": "let me look"},
        call,
        {**RESULTS[name], "tool_use_id": "s1"},
        {"type": "text", "text": "a zebra it is"},
    ]
    _, asked, result, said, _ = read([USER, {"role": "assistant", "content": content}, USER])
    assert asked["content"] == "let me look"
    (made,) = asked["tool_calls"]
    assert made["function"] == {"name": name, "arguments": json.dumps({"query": "stripes"})}
    assert (result["role"], result["tool_call_id"]) == ("tool", "s1")
    assert "zebra" in result["content"]
    assert "c2" not in result["content"]
    assert said["content"] == "a zebra it is"


@pytest.mark.parametrize("role", ["assistant", "system", "developer"])
def test_other_blocks_of_other_roles_are_read_as_text(role: str) -> None:
    """A compaction's words, say, are no text block."""
    said = read(
        [USER, {"role": role, "content": [{"type": "compaction", "content": "zebra"}]}, USER]
    )
    assert "zebra" in json.dumps(said[1])


@pytest.mark.parametrize(
    "message",
    [
        USER,
        {"role": "user", "content": [WORDS, {"type": "image", "source": {"type": "base64"}}]},
        {"role": "user", "content": [{"type": "document", "source": {"type": "url", "url": "u"}}]},
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "t", "content": [WORDS]}],
        },
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "hmm"}, WORDS, CALL]},
        {"role": "wizard", "content": [{"type": "spell"}]},
        {"role": ["user"], "content": [{"type": "spell"}]},
        {"role": "user", "content": ["hi", None]},
        "no message",
    ],
)
def test_what_litellm_reads_whole_and_what_is_malformed_stays_as_it_is(message: Any) -> None:
    """Nothing has to change, and no message is ever written into."""
    before = copy.deepcopy(message)
    assert translatable([message]) is None
    document = {"role": "user", "content": [DOCUMENTS["a document"]]}
    translated = translatable([message, document])
    assert translated is not None
    assert translated[0] is message
    assert message == before


@pytest.mark.parametrize("role", ["user", "assistant", "system", "developer"])
def test_mere_strings_among_blocks_are_read(role: str) -> None:
    """LiteLLM fails over them in a user's message, and reads the last one of a reply's alone."""
    said = read([USER, {"role": role, "content": ["zebra", "gnu", {"type": "note", "a": "ape"}]}])
    shown = json.dumps(said[1])
    assert all(word in shown for word in ("zebra", "gnu", "ape"))


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "tool_result", "tool_use_id": "t2", "content": [WORDS]}],
        {"type": "text", "text": "zebra"},
        {"found": ["zebra"]},
        ["zebra", {"type": "note", "body": "x"}],
    ],
)
def test_a_result_of_any_form_is_read(content: Any) -> None:
    """A result in a result, a single block, an object."""
    result = {"type": "tool_result", "tool_use_id": "t1", "content": content}
    chat = [USER, {"role": "assistant", "content": [CALL]}, {"role": "user", "content": [result]}]
    said = read(chat)[2]
    assert (said["role"], said["tool_call_id"]) == ("tool", "t1")
    assert "zebra" in json.dumps(said["content"])


def test_a_result_in_a_system_message_is_read_as_its_text() -> None:
    """LiteLLM reads text alone there, whatever comes of tools."""
    result = {"type": "web_search_tool_result", "tool_use_id": "t1", "content": [WORDS]}
    made = translatable([USER, {"role": "system", "content": [result]}])
    assert made is not None
    (block,) = made[1]["content"]
    assert block["type"] == "text"
    assert "zebra" in block["text"]


def test_results_in_results_are_gone_through_once() -> None:
    """A client chooses how deep they are: what is below a block is not looked at again."""
    calls = {}
    for levels in (10, 40):
        block: Any = {"type": "note", "body": "x"}
        for _ in range(levels):
            block = {"type": "tool_result", "tool_use_id": "t", "content": [block]}
        profile = cProfile.Profile()
        profile.runcall(translatable, [{"role": "user", "content": [block]}])
        calls[levels] = pstats.Stats(profile).total_calls  # type: ignore[attr-defined]
    assert calls[40] < 4.4 * calls[10]
