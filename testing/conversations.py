"""Messages of each role, and what a conversation to test with is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Message = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A conversation as a client sends it.

    Attributes:
        name: Its number and a word for it; the id of a test.
        messages: What the client sends.
        tools: The tools that it offers; None for none.
        note: Whose it is, and what is odd about it.
    """

    name: str
    messages: list[Message]
    tools: list[dict[str, Any]] | None = None
    note: str = ""


WEATHER_TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tells the weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


def system(text: str) -> Message:
    """Give a system message."""
    return {"role": "system", "content": text}


def developer(text: str) -> Message:
    """Give a developer message."""
    return {"role": "developer", "content": text}


def user(text: str) -> Message:
    """Give a user message."""
    return {"role": "user", "content": text}


def assistant(text: str) -> Message:
    """Give an assistant message."""
    return {"role": "assistant", "content": text}


def parts(role: str, *texts: str) -> Message:
    """Give a message whose content is a list of text parts."""
    return {"role": role, "content": [{"type": "text", "text": text} for text in texts]}


def calls(*ids: str, text: str | None = None, city: str = "Oslo") -> Message:
    """Give an assistant message that calls the weather tool once for each id."""
    function = {"name": "weather", "arguments": f'{{"city": "{city}"}}'}
    made = [{"id": one, "type": "function", "function": function} for one in ids]
    return {"role": "assistant", "content": text, "tool_calls": made}


def result(call_id: str, text: str) -> Message:
    """Give a tool message."""
    return {"role": "tool", "tool_call_id": call_id, "content": text}
