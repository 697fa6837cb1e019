"""Messages in the form that vLLM hands to a template (`renderers/chat_utils.py`, 0.32.0)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..messages.message import MEDIA_KINDS, Message, part_text
from .content_format import ContentFormat

_BILLING_HEADER = "x-anthropic-billing-header"


def to_template_message(message: Message, content_format: ContentFormat) -> dict[str, Any]:
    """Return one message in the form that vLLM hands to the template.

    Source: vLLM `renderers/chat_utils.py`, `_parse_chat_message_content` and
    `_postprocess_messages`.
    """
    role = message["role"]
    content = message.get("content")
    parts: Sequence[Any] = (
        [] if content is None else [content] if isinstance(content, str) else content
    )
    if role == "system":
        parts = list(_without_billing_header(parts))
    seen: dict[str, Any] = {"role": role}
    if content_format == "openai":
        seen["content"] = [part for part in map(_as_part, parts) if part is not None]
    else:
        seen["content"] = "\n".join(text for text in map(_as_text, parts) if text)
    if role == "assistant":
        if message.get("tool_calls"):
            seen["tool_calls"] = [_as_call(call) for call in message["tool_calls"]]
        reasoning = message.get("reasoning", message.get("reasoning_content"))
        if reasoning is not None:
            seen["reasoning"] = seen["reasoning_content"] = reasoning
    elif role == "tool":
        if "tool_call_id" in message:
            seen["tool_call_id"] = message["tool_call_id"]
        if isinstance(seen["content"], list) and all(
            part.get("type") == "text" for part in seen["content"]
        ):
            seen["content"] = "\n".join(part.get("text", "") for part in seen["content"])
    for key in ("name", "task"):
        if isinstance(message.get(key), str):
            seen[key] = message[key]
    if role == "developer":
        seen["tools"] = message.get("tools")
    return seen


def _as_part(part: Any) -> dict[str, Any] | None:
    text = part_text(part)
    if text is not None:
        return {"type": "text", "text": text}
    if not isinstance(part, Mapping):
        return None
    kind = part.get("type")
    if kind == "tool_reference":
        return {"type": "tool_reference", "name": part.get("name")}
    media = MEDIA_KINDS.get(str(kind))
    return {"type": media} if media else None


def _as_text(part: Any) -> str | None:
    text = part_text(part)
    if text is not None or not isinstance(part, Mapping):
        return text
    if part.get("type") == "tool_reference":
        return str(part.get("name"))
    # The placeholder of a media part is the model's own; only its kind is known here.
    media = MEDIA_KINDS.get(str(part.get("type")))
    return f"<##{media.upper()}##>" if media else None


def _without_billing_header(parts: Sequence[Any]) -> Iterator[Any]:
    """Drop Claude Code's attribution line, as vLLM does, since it spoils the prefix cache."""
    for part in parts:
        text = part if isinstance(part, str) else part_text(part)
        if text is None or not text.startswith(_BILLING_HEADER):
            yield part
        elif rest := text.partition("\n")[2]:
            yield rest


def _as_call(call: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tool call with its arguments parsed; malformed ones become `{}`, as in vLLM."""
    function = call.get("function")
    if call.get("type", "function") != "function" or not isinstance(function, Mapping):
        raise ValueError("chat completions only support assistant tool_calls of type 'function'.")
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except json.JSONDecodeError:
            arguments = None
    if not isinstance(arguments, dict):
        arguments = {}
    # The order of the keys is that of the OpenAI types, which vLLM's validation leaves behind and
    # `tojson` makes visible.
    seen: dict[str, Any] = {"id": call["id"]} if "id" in call else {}
    seen["function"] = {"arguments": arguments, "name": function.get("name")}
    seen["type"] = "function"
    return seen


def as_tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tool definition as vLLM's protocol dumps it.

    That is: known keys only, in its order, missing ones as null.
    """
    function = tool.get("function") or {}
    seen = {
        "name": function.get("name"),
        "description": function.get("description"),
        "parameters": function.get("parameters"),
    }
    for key in ("strict", "defer_loading"):
        if function.get(key) is not None:
            seen[key] = function[key]
    return {"type": tool.get("type", "function"), "function": seen}


def fold_developer(conversation: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a conversation with all developer and system text in one leading system message.

    Without a developer message nothing changes. Source: vLLM `renderers/hf.py`,
    `_convert_developer_to_system` and `_consolidate_system_messages`.
    """
    if not any(message["role"] == "developer" for message in conversation):
        return conversation
    renamed = [
        {**{key: value for key, value in message.items() if key != "tools"}, "role": "system"}
        if message["role"] == "developer"
        else message
        for message in conversation
    ]
    system = [message for message in renamed if message["role"] == "system"]
    if system == renamed[:1]:
        return renamed
    contents = []
    for message in system:
        content = message["content"]
        if isinstance(content, list):
            content = "\n".join(part["text"] for part in content if "text" in part)
        if content:
            contents.append(content)
    others = [message for message in renamed if message["role"] != "system"]
    return [{"role": "system", "content": "\n\n".join(contents)}, *others]
