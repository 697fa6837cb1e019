"""What a scripted model says: text, and calls of the request's tools."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ..messages.message import Message


class Call(NamedTuple):
    """A call of a tool.

    Attributes:
        name: The tool's name.
        arguments: Its arguments, as JSON.
    """

    name: str
    arguments: str


class Said(NamedTuple):
    """What the model says.

    Attributes:
        text: Its words; they come before the calls.
        calls: The tools that it calls, all in one turn.
    """

    text: str
    calls: Sequence[Call] = ()


class Prompt(NamedTuple):
    """A rendered conversation.

    Attributes:
        messages: The messages that were rendered.
        text: The text that the model reads.
        tokens: The text's tokens.
        tools: The definitions of the tools that it may call, in the form of chat completions.
    """

    messages: Sequence[Message]
    text: str
    tokens: list[int]
    tools: Sequence[Mapping[str, Any]]


Script = Callable[[Prompt], Said]
"""A model that knows nothing but its prompt."""


def new_call_id() -> str:
    """Return the id of a call, in the form of vLLM's `make_tool_call_id`."""
    return f"chatcmpl-tool-{uuid.uuid4().hex}"
