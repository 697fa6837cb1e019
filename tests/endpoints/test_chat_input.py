"""A chat completion's messages are read as LiteLLM sends them."""

from __future__ import annotations

from typing import Any

from litellm_role_guard.endpoints.chat import ChatConversation
from litellm_role_guard.plugin.litellm_internals import to_vllm_messages

USER = {"role": "user", "content": "hi"}
FUNCTION = {"name": "look", "arguments": "{}"}
CALL = {"id": "abcdefghi", "type": "function", "function": FUNCTION}
CALLED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
TEXT = {"type": "text", "text": "a tree"}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
SEEN = {"role": "tool", "tool_call_id": "abcdefghi", "content": [TEXT, PICTURE]}


def read(messages: list[Any], *, is_vllm: bool = True) -> ChatConversation:
    """Give the messages as the guard reads them."""
    return ChatConversation(
        messages,
        prefill=False,
        is_vllm=is_vllm,
        to_vllm_messages=lambda sent: to_vllm_messages(sent, "m"),
    )


def test_a_picture_in_a_result_is_read_where_litellm_puts_it() -> None:
    """It is in a user turn behind the result, which has to fit in there; the rest is as it came."""
    given = [USER, CALLED, SEEN, USER]
    conversation = read(given)
    roles = [message["role"] for message in conversation.messages]
    assert roles == ["user", "assistant", "tool", "user", "user"]
    assert PICTURE in conversation.messages[3]["content"]
    assert conversation.messages[0] is USER
    assert conversation.messages[1] is CALLED
    assert conversation.read_back(conversation.messages) == conversation.messages
    assert SEEN["content"] == [TEXT, PICTURE]


def test_a_place_is_named_as_the_client_counts() -> None:
    """What LiteLLM adds stands at the message that it is taken from."""
    conversation = read([USER, CALLED, SEEN, USER])
    places = [conversation.location(at) for at in range(5)]
    assert places == [f"messages[{at}]" for at in (0, 1, 2, 2, 3)]


def test_a_reply_in_parts_is_read_as_one_string() -> None:
    """As LiteLLM sends it."""
    reply = {"role": "assistant", "content": [TEXT, {"type": "text", "text": "two"}]}
    assert read([USER, reply]).messages == [USER, {**reply, "content": "a tree\ntwo"}]


def test_messages_that_litellm_sends_as_they_are_stay_the_same_objects() -> None:
    """The very list, and nothing is copied."""
    told = [USER, CALLED, {**SEEN, "content": [TEXT]}, {"role": "user", "content": [PICTURE]}]
    assert read(told).messages is told


def test_for_another_backend_nothing_is_read_otherwise() -> None:
    """It is vLLM's part of LiteLLM that moves pictures."""
    told = [USER, CALLED, SEEN]
    assert read(told, is_vllm=False).messages is told
