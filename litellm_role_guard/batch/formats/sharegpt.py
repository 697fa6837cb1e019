"""ShareGPT's turns, `{"from": "human", "value": "..."}`, as messages and back.

The names are those that data sets and trainers use (ShareGPT, Vicuna, LLaMA-Factory). Calls and
results stand in turns of their own, without ids.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ...messages.message import Message
from ..errors import BadInput

_ROLES = {
    **dict.fromkeys(("human", "user"), "user"),
    **dict.fromkeys(("gpt", "assistant", "chatgpt", "bing", "bard", "model"), "assistant"),
    "system": "system",
    **dict.fromkeys(("tool", "observation", "function_response"), "tool"),
    "function_call": "call",
}

_NAMES = {"user": "human", "assistant": "gpt", "system": "system", "tool": "observation"}


def as_turns(turns: object, system: object = None) -> list[dict[str, Any]]:
    """Return ShareGPT's turns as messages.

    Args:
        turns: The value of `conversations`.
        system: The value of `system`, which some data sets have beside it.

    Raises:
        BadInput: It is none of that.
    """
    if not isinstance(turns, list) or not turns:
        raise BadInput("conversations: must be a list of turns, and not empty")
    messages: list[dict[str, Any]] = []
    if isinstance(system, str) and system:
        messages.append({"role": "system", "content": system})
    waiting: list[str] = []  # the ids of calls without a result
    for at, turn in enumerate(turns):
        if not isinstance(turn, dict) or not isinstance(turn.get("value"), str):
            raise BadInput(f"conversations[{at}]: must be an object with `from` and a `value`")
        name = str(turn.get("from"))
        role = _ROLES.get(name)
        if role is None:
            known = ", ".join(_ROLES)
            raise BadInput(f"conversations[{at}]: unknown `from` {name[:32]!r}; known are {known}")
        if role == "call":
            messages.append(_call(turn["value"], at, waiting))
        elif role == "tool" and waiting:
            result = {"role": "tool", "tool_call_id": waiting.pop(0), "content": turn["value"]}
            messages.append(result)
        else:
            messages.append({"role": role, "content": turn["value"]})
    return messages


def tools_of(fields: Mapping[str, Any]) -> list[Any] | None:
    """Return the tools that stand beside `conversations`, a list or its JSON; None without any.

    Raises:
        BadInput: They are neither.
    """
    tools = fields.get("tools")
    if isinstance(tools, str):
        try:
            tools = json.loads(tools) if tools.strip() else None
        except (ValueError, RecursionError) as error:
            raise BadInput("tools: no JSON") from error
    if tools is not None and not isinstance(tools, list):
        raise BadInput("tools: must be a list of objects")
    return [_as_tool(tool) for tool in tools] if tools else None


def from_turns(messages: Sequence[Message]) -> list[dict[str, str]] | None:
    """Return messages as ShareGPT's turns; None where those cannot hold them."""
    turns = []
    for message in messages:
        name, content = _NAMES.get(message["role"]), message.get("content")
        calls = message.get("tool_calls")
        if calls and len(calls) == 1 and not content and "function" in calls[0]:
            name, content = "function_call", json.dumps(_written(calls[0]), ensure_ascii=False)
        elif calls:
            return None
        if name is None or not isinstance(content, str) or "name" in message:
            return None
        turns.append({"from": name, "value": content})
    return turns


def _written(call: Mapping[str, Any]) -> dict[str, Any]:
    try:
        arguments = json.loads(call["function"]["arguments"])
    except (ValueError, RecursionError):
        arguments = call["function"]["arguments"]
    return {"name": call["function"]["name"], "arguments": arguments}


def _call(value: str, at: int, waiting: list[str]) -> dict[str, Any]:
    try:
        call = json.loads(value)
        name, arguments = call["name"], call.get("arguments", {})
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
        return {"role": "assistant", "content": value}
    written = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    waiting.append(f"call{at:05d}")  # nine letters and digits, as Mistral wants them
    function = {"name": str(name), "arguments": written}
    called = {"id": waiting[-1], "type": "function", "function": function}
    return {"role": "assistant", "content": None, "tool_calls": [called]}


def _as_tool(tool: Any) -> Any:
    bare = isinstance(tool, dict) and "name" in tool and "function" not in tool
    return {"type": "function", "function": tool} if bare else tool
