"""The `messages` of a chat completion."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from ..messages.message import Message, is_nested_thought, part_text
from ..repair.change import Change
from .taken_forms import in_taken_forms

_IN_PARTS = ("assistant", "tool")

_MARK = "role_guard_position"  # tells which message of LiteLLM's is which of the client's


class ChatConversation:
    """The `messages` of a chat completion.

    Args:
        messages: The client's messages.
        prefill: Whether the last one is the opening of the reply.
        is_vllm: Whether a vLLM is asked, for which LiteLLM changes messages itself: developer
            messages into system messages, and lists of content parts.
        to_vllm_messages: What LiteLLM makes of messages before it sends them.
        note: The first part of a user message that LiteLLM has made of a system message.

    Attributes:
        messages: The messages as LiteLLM would send them; the client's own objects where it would
            send them as they are.
    """

    changes: tuple[Change, ...] = ()
    labelled: Collection[int] = ()

    def __init__(
        self,
        messages: Sequence[Message],
        *,
        prefill: bool,
        is_vllm: bool,
        to_vllm_messages: Callable[[list[Any]], list[Any]],
        note: str | None = None,
    ) -> None:
        self.messages = messages
        if is_vllm:
            self.messages, self.changes = in_taken_forms(messages)
            messages = self.messages
        self._to_vllm_messages = to_vllm_messages
        self._positions: list[int] | None = None  # by message: the client's, where they differ
        if is_vllm and "developer" in [message["role"] for message in messages]:
            self.messages = [
                {**message, "role": "system"} if message["role"] == "developer" else message
                for message in messages
            ]
        if is_vllm and any(map(_is_changed_by_litellm, messages)):
            self._read_as_sent()
        self._flatten_thoughts()
        if note is not None:
            self.labelled = {
                at for at, message in enumerate(self.messages) if _begins_with(message, note)
            }
        self.prefill = prefill

    def location(self, message: int) -> str:
        """Return the place in the request where a message comes from."""
        at = message if self._positions is None else self._positions[message]
        return f"messages[{at}]"

    def arguments(self, messages: Sequence[Message]) -> dict[str, Any]:
        """Return the argument `messages`, as copies: LiteLLM writes into what it is given."""
        return {"messages": copied(messages)}

    def body(self, messages: Sequence[Message]) -> dict[str, Any]:
        """Return the body's `messages`, as LiteLLM would have sent them."""
        return {"messages": self._to_vllm_messages(copied(messages))}

    def read_back(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Return what the backend reads where these messages are sent."""
        sent: Sequence[Message] = self.body(messages)["messages"]
        return sent

    def _flatten_thoughts(self) -> None:
        """Write each thought in parts of its own as one text, the only form that vLLM takes."""
        nested = {at for at, message in enumerate(self.messages) if _has_nested_thought(message)}
        if not nested:
            return
        self.messages = [
            _with_flat_thoughts(message) if at in nested else message
            for at, message in enumerate(self.messages)
        ]
        why = "vLLM takes a thought as one text only"
        self.changes += tuple(Change("content", (at,), why) for at in sorted(nested))

    def _read_as_sent(self) -> None:
        """Read the messages that LiteLLM would make of these: pictures in a result move behind it.

        What is repaired has to be what arrives: a turn that appears later could be in the way.
        """
        marked = [
            {**copied(message), _MARK: position} for position, message in enumerate(self.messages)
        ]
        positions: list[int] = []
        sent: list[Message] = []
        for message in self._to_vllm_messages(marked):
            # One that LiteLLM has added belongs to the one before it.
            positions.append(message.get(_MARK, positions[-1] if positions else 0))
            sent.append({key: value for key, value in message.items() if key != _MARK})
        before = list(self.messages)
        for at, (position, message) in enumerate(zip(positions, sent, strict=True)):
            if position < len(before) and before[position] == message:
                sent[at] = before[position]
        self.messages, self._positions = sent, positions


def _is_changed_by_litellm(message: Message) -> bool:
    """Return whether LiteLLM may send this message otherwise than it is (`hosted_vllm`)."""
    content = message.get("content")
    if content is None or isinstance(content, str) or message["role"] not in _IN_PARTS:
        return False
    return message["role"] == "assistant" or any(
        isinstance(part, Mapping) and part.get("type") != "text" for part in content
    )


def _begins_with(message: Message, note: str) -> bool:
    content = message.get("content")
    if message["role"] != "user" or not isinstance(content, list) or not content:
        return False
    return part_text(content[0]) == note


def _has_nested_thought(message: Message) -> bool:
    content = message.get("content")
    if content is None or isinstance(content, str):
        return False
    return any(map(is_nested_thought, content))


def _with_flat_thoughts(message: Message) -> Message:
    return {
        **message,
        "content": [
            {**part, "thinking": part_text(part)} if is_nested_thought(part) else part
            for part in message["content"]
        ],
    }


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
