"""Messages written out as labelled text: who said it, or which tool was called."""

from __future__ import annotations

from collections.abc import Mapping

from ..messages.message import call_arguments, call_name, tool_calls
from .turn import Turn, join_contents


def labelled_user(turn: Turn, label: str) -> Turn:
    """Return a user turn with the message's text behind a label that says whose it is."""
    message = {
        key: value
        for key, value in turn.message.items()
        if key not in ("tool_call_id", "tool_calls", "function_call", "name", "tools")
    }
    content = join_contents([f"[{label}]", turn.message.get("content")], "\n")
    return Turn("user", {**message, "role": "user", "content": content}, turn.origins, True)


def tool_calls_as_text(turn: Turn, separator: str) -> Turn:
    """Return the turn with its tool calls written as text, after the text that it has."""
    message = {
        key: value
        for key, value in turn.message.items()
        if key not in ("tool_calls", "function_call")
    }
    calls = list(tool_calls(turn.message))
    legacy = turn.message.get("function_call")
    if isinstance(legacy, Mapping):
        calls.append({"function": legacy})
    shown = [f"[Tool call: {call_name(call)}]\n{call_arguments(call)}".rstrip() for call in calls]
    content = join_contents([message.get("content"), *shown], separator)
    return Turn(
        "assistant",
        {**message, "content": content},
        turn.origins,
        written_calls={call.get("id"): call_name(call) for call in calls if call.get("id")},
    )
