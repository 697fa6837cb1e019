"""What a client means by a request: chat messages with every text of it, in its order.

Written without the guard's own readers, which are judged by it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .recorder import Exchange

BILLING = "x-anthropic-billing-header"
"""How the line begins that Claude Code puts first, for its vendor's accounting; vLLM strips it."""

Messages = list[dict[str, Any]]


def meant(exchange: Exchange) -> Messages:
    """Return the messages that a client means."""
    if exchange.path.endswith("/messages"):
        return list(_of_anthropic(exchange.body))
    if exchange.path.endswith("/responses"):
        return list(_of_responses(exchange.body))
    return [dict(message) for message in exchange.body["messages"]]


def roles(messages: Sequence[Mapping[str, Any]]) -> str:
    """Return the roles of messages by their first letters: `S U A T`."""
    letters = {"function": "T"}
    return " ".join(letters.get(each["role"], each["role"][0].upper()) for each in messages)


def _of_anthropic(body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    system = body.get("system") or []
    blocks = [{"type": "text", "text": system}] if isinstance(system, str) else system
    texts = [block for block in blocks if not block["text"].startswith(BILLING)]
    if texts:
        yield {"role": "system", "content": [_text(block["text"]) for block in texts]}
    for message in body["messages"]:
        role, content = message["role"], message["content"]
        if isinstance(content, str):
            content = [{"type": "text", "text": content}]
        results = [block for block in content if block["type"] == "tool_result"]
        for result in results:
            said = result.get("content") or ""
            said = said if isinstance(said, str) else [_text(block["text"]) for block in said]
            yield {"role": "tool", "tool_call_id": result["tool_use_id"], "content": said}
        texts = [_text(block["text"]) for block in content if block["type"] == "text"]
        calls = [
            _call(block["id"], block["name"], json.dumps(block["input"]))
            for block in content
            if block["type"] == "tool_use"
        ]
        if texts or calls or not results:
            yield {"role": role, "content": texts, **({"tool_calls": calls} if calls else {})}


def _of_responses(body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if body.get("instructions"):
        yield {"role": "system", "content": body["instructions"]}
    given = body["input"]
    if isinstance(given, str):
        yield {"role": "user", "content": given}
        return
    reply: dict[str, Any] | None = None  # what follows it may be its calls
    for item in given:
        kind = item.get("type", "message")
        if kind == "function_call":
            reply = reply or {"role": "assistant", "content": ""}
            call = _call(item["call_id"], item["name"], item["arguments"])
            reply["tool_calls"] = [*reply.get("tool_calls", ()), call]
            continue
        if kind == "reasoning":
            continue  # templates leave it out of later prompts on purpose
        if reply:
            yield reply
            reply = None
        said = item["output"] if kind == "function_call_output" else item["content"]
        said = said if isinstance(said, str) else [_text(part["text"]) for part in said]
        if kind == "function_call_output":
            yield {"role": "tool", "tool_call_id": item["call_id"], "content": said}
        elif kind != "message":
            raise ValueError(f"an item of type {kind!r}: what it means has to be said here")
        elif item["role"] == "assistant":
            reply = {"role": "assistant", "content": said}
        else:
            yield {"role": item["role"], "content": said}
    if reply:
        yield reply


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


def _call(call_id: str, name: str, arguments: str) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function}
