"""The tools of a `/v1/responses` request as functions, and calls of them as items.

Source: vLLM 0.32.0 `tool_parsers/utils.py`, `get_function_tools`, and
`entrypoints/openai/responses/utils.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .engine import new_id
from .protocol import Refused
from .scripted import Call, new_call_id

_FREE_TEXT = {
    "type": "object",
    "properties": {
        "input": {"type": "string", "description": "The freeform text payload for this tool."}
    },
    "required": ["input"],
    "additionalProperties": False,
}


def functions_of(tools: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the tools that the model is shown; those of other kinds are left out.

    Args:
        tools: The request's tools.

    Returns:
        Tool definitions in the form of chat completions.

    Raises:
        Refused: A custom tool has a grammar.
    """
    return [{"type": "function", "function": function} for _, function in _named(tools)]


def call_item(call: Call, tools: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the item of a call.

    Args:
        call: The call, by the name that the model was shown.
        tools: The request's tools.
    """
    tool = next(tool for tool, function in _named(tools) if function["name"] == call.name)
    ids = {"call_id": new_call_id()}
    if tool["type"] == "custom":
        said = json.loads(call.arguments)["input"]
        named = {"name": call.name, "input": said, "type": "custom_tool_call"}
        return {"id": new_id("ctc_"), **ids, **named}
    named = {"name": call.name, "type": "function_call"}
    if tool["type"] == "namespace":
        named |= {"name": call.name.partition("__")[2], "namespace": tool["name"]}
    return {
        "id": new_id("fc_"),
        **ids,
        **named,
        "arguments": call.arguments,
        "status": "completed",
    }


def opened(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return the item of a call as a stream announces it, before its arguments."""
    if item["type"] == "custom_tool_call":
        return {**item, "input": ""}
    return {**item, "arguments": "", "status": "in_progress"}


def _named(
    tools: Sequence[Mapping[str, Any]],
) -> Iterator[tuple[Mapping[str, Any], dict[str, Any]]]:
    """Yield each function with the tool that it is of."""
    for tool in tools:
        kind = tool.get("type")
        if kind == "function":
            yield tool, _function(tool, str(tool["name"]))
        elif kind == "namespace":
            for inner in tool["tools"]:
                if inner.get("type") == "function":
                    yield tool, _function(inner, f"{tool['name']}__{inner['name']}")
        elif kind == "custom":
            if (tool.get("format") or {}).get("type") == "grammar":
                raise Refused.field(
                    "Custom tools with a grammar format are not supported; only free-form text "
                    "custom tools are accepted.",
                    "tools",
                )
            yield tool, _function({**tool, "parameters": _FREE_TEXT}, str(tool["name"]))


def _function(tool: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {
        "name": name,
        "description": tool.get("description"),
        "parameters": tool.get("parameters"),
    }
