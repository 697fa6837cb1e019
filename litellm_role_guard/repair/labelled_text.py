"""Messages written out as labelled text: who said it, or which tool was called."""

from __future__ import annotations

from collections.abc import Mapping

from ..messages.message import call_arguments, call_name, tool_calls
from .context import RepairContext
from .turn import Turn, join_contents


def labelled_user(turn: Turn, label: str) -> Turn:
    """Make a user turn of a message, with a label that tells who said it before its text."""
    message = {
        key: value
        for key, value in turn.message.items()
        if key not in ("tool_call_id", "tool_calls", "function_call", "name", "tools")
    }
    content = join_contents([f"[{label}]", turn.message.get("content")], "\n")
    return Turn("user", {**message, "role": "user", "content": content}, turn.origins, True)


def tool_calls_as_text(turn: Turn, draft: RepairContext) -> Turn:
    """Write an assistant's tool calls as text of the same turn."""
    message = {
        key: value
        for key, value in turn.message.items()
        if key not in ("tool_calls", "function_call")
    }
    calls = list(tool_calls(turn.message))
    legacy = turn.message.get("function_call")
    if isinstance(legacy, Mapping):
        calls.append({"function": legacy})
    content = message.get("content")
    for call in calls:
        shown = f"[Tool call: {call_name(call)}]\n{call_arguments(call)}".rstrip()
        content = join_contents([content, shown], draft.separator)
    return Turn("assistant", {**message, "content": content}, turn.origins)
