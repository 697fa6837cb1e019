"""One conversation, written as each endpoint's clients write it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from litellm_role_guard.messages.message import call_arguments, content_parts, part_text, tool_calls

Body = dict[str, Any]


def chat(messages: Sequence[Any], tools: Sequence[Any] | None) -> Body:
    """Give the body of a chat completion."""
    return {"messages": list(messages), **({"tools": tools} if tools else {})}


def anthropic(messages: Sequence[Any], tools: Sequence[Any] | None) -> Body:
    """Give the body for /v1/messages; system text that is not at the front stays a message."""
    lead = 0
    while lead < len(messages) - 1 and messages[lead]["role"] == "system":
        lead += 1
    body: Body = {"messages": [_anthropic_message(message) for message in messages[lead:]]}
    if lead:
        body["system"] = [block for message in messages[:lead] for block in _blocks(message)]
    if tools:
        body["tools"] = [
            {
                "name": tool["function"]["name"],
                "description": tool["function"]["description"],
                "input_schema": tool["function"]["parameters"],
            }
            for tool in tools
        ]
    return body


def _anthropic_message(message: Any) -> Body:
    if message["role"] == "tool":
        result = {
            "type": "tool_result",
            "tool_use_id": message["tool_call_id"],
            "content": message["content"],
        }
        return {"role": "user", "content": [result]}
    uses = [
        {
            "type": "tool_use",
            "id": call["id"],
            "name": call["function"]["name"],
            "input": json.loads(call_arguments(call)),
        }
        for call in tool_calls(message)
    ]
    if not uses and isinstance(message["content"], str):
        return {"role": message["role"], "content": message["content"]}
    return {"role": message["role"], "content": [*_blocks(message), *uses]}


def _blocks(message: Any) -> list[Body]:
    return [{"type": "text", "text": part_text(part)} for part in content_parts(message)]


def responses(messages: Sequence[Any], tools: Sequence[Any] | None) -> Body:
    """Give the body for /v1/responses, a list as input and a system message as instructions."""
    body: Body = {"input": []}
    rest = list(messages)
    if len(rest) > 1 and rest[0]["role"] == "system" and isinstance(rest[0]["content"], str):
        body["instructions"] = rest.pop(0)["content"]
    for message in rest:
        if message["role"] == "tool":
            result = {
                "type": "function_call_output",
                "call_id": message["tool_call_id"],
                "output": message["content"],
            }
            body["input"].append(result)
            continue
        if message.get("content"):
            body["input"].append({"role": message["role"], "content": message["content"]})
        body["input"] += [
            {
                "type": "function_call",
                "call_id": call["id"],
                "name": call["function"]["name"],
                "arguments": call_arguments(call),
            }
            for call in tool_calls(message)
        ]
    if tools:
        body["tools"] = [{"type": "function", **tool["function"]} for tool in tools]
    return body
