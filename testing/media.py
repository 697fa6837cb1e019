"""Conversations with an image in a message of each kind."""

from __future__ import annotations

from typing import Any

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,xx"}}
PART = {"type": "text", "text": "as you see"}
CALL: dict[str, Any] = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {
            "id": "aB00Z0000",
            "type": "function",
            "function": {"name": "screenshot", "arguments": '{"of": "page"}'},
        }
    ],
}
QUESTION = {"role": "user", "content": "the question"}
ANSWER = {"role": "assistant", "content": "the answer"}
THANKS = {"role": "user", "content": "which text is on it?"}


def conversation(kind: str, *parts: Any) -> list[dict[str, Any]]:
    """Return a conversation with a message of this kind and these parts."""
    message = {"role": kind.rpartition(" ")[2], "content": [PART, *parts]}
    if kind == "tool":
        result = {**message, "tool_call_id": "aB00Z0000"}
        return [QUESTION, CALL, result, THANKS]
    if kind == "user":
        return [message, ANSWER, THANKS]
    before = [] if kind == "system" else [QUESTION, ANSWER] if kind == "late system" else [QUESTION]
    return [*before, message, THANKS]
