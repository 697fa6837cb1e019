"""The `messages` of a chat completion."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from ..messages.message import Message
from ..repair.change import Change


class ChatConversation:
    """The `messages` of a chat completion.

    Args:
        messages: The client's messages.
        prefill: Whether the last one is the opening of the reply.
        developer_is_system: Whether LiteLLM sends developer messages as system messages.
        to_vllm_messages: What LiteLLM makes of messages before it sends them.
    """

    changes: tuple[Change, ...] = ()

    def __init__(
        self,
        messages: Sequence[Message],
        *,
        prefill: bool,
        developer_is_system: bool,
        to_vllm_messages: Callable[[list[Any]], list[Any]],
    ) -> None:
        self.messages = messages
        if developer_is_system and "developer" in [message["role"] for message in messages]:
            self.messages = [
                {**message, "role": "system"} if message["role"] == "developer" else message
                for message in messages
            ]
        self.prefill = prefill
        self._to_vllm_messages = to_vllm_messages

    def location(self, message: int) -> str:
        """Return the place in the request where a message comes from."""
        return f"messages[{message}]"

    def arguments(self, messages: Sequence[Message]) -> dict[str, Any]:
        """Return the argument `messages`, as copies: LiteLLM writes into what it is given."""
        return {"messages": copied(messages)}

    def body(self, messages: Sequence[Message]) -> dict[str, Any]:
        """Return the body's `messages`, as LiteLLM would have sent them."""
        return {"messages": self._to_vllm_messages(copied(messages))}


def copied(value: Any) -> Any:
    """Return a copy of JSON-like data that shares no dict and no list with it."""
    if isinstance(value, Mapping):
        return {
            # Most fields are texts, and finding that out is far quicker than for a mapping.
            key: field if isinstance(field, str) else copied(field)
            for key, field in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [copied(entry) for entry in value]
    return value


def as_dicts(messages: Any) -> Any:
    """Return a client's `messages` with dicts for pydantic objects; what is no list as it is.

    In Python the messages of earlier answers, pydantic objects, are sent back as they came.
    """
    # To ask each message for its class costs far more than to see that all are dicts.
    if not isinstance(messages, Sequence) or set(map(type, messages)) == {dict}:
        return messages
    if any(isinstance(message, BaseModel) for message in messages):
        return [
            message.model_dump(exclude_none=True) if isinstance(message, BaseModel) else message
            for message in messages
        ]
    return messages
