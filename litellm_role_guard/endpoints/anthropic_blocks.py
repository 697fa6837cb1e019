"""The content blocks of /v1/messages that LiteLLM leaves out, written as blocks that it reads.

LiteLLM (1.108.7, `llms/anthropic/pass_through/adapters/transformation.py`) reads text, pictures,
tool calls, their results and thoughts. Clients send more: documents as text, search results, and
what Anthropic's own tools did. A block's type tells what it becomes, not a list of names:

    a provider's own call     `*_tool_use`: a tool_use
    what came of it           `*_tool_result`: a tool_result, in a user message of its own
    any other                 a text block with all that a model can read of it
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .readable_json import as_text, readable

_READ = {
    "user": ("text", "image", "tool_result"),
    "assistant": ("text", "tool_use", "thinking", "redacted_thinking"),
    "system": ("text",),
}
_PICTURES = ("base64", "url")

# What a block has beside that which it says.
_BESIDE = ("type", "cache_control", "citations")


def with_all_blocks_read(messages: Sequence[Any]) -> list[Any] | None:
    """Return messages of which LiteLLM reads every block; None where it does as they are.

    Args:
        messages: The request's messages, which may be malformed. They are not changed.
    """
    if all(map(_is_read, messages)):
        return None
    return [made for message in messages for made in _made_of(message)]


def _is_read(message: Any) -> bool:
    """Return whether LiteLLM reads a message whole, or nobody knows what it is."""
    content = message.get("content") if isinstance(message, Mapping) else None
    role = message.get("role") if isinstance(message, Mapping) else None
    if not isinstance(content, list) or not isinstance(role, str) or role not in _READ:
        return True
    return all(_is_read_block(block, role) for block in content)


def _is_read_block(block: Any, role: str) -> bool:
    if not isinstance(block, Mapping):
        return True
    kind = block.get("type")
    if kind == "tool_result" and role == "user":
        content = block.get("content")
        if not isinstance(content, list):
            return True
        return all(_is_read_block(part, role) for part in content)
    if kind == "document" and role == "user":
        source = block.get("source")
        return isinstance(source, Mapping) and source.get("type") in _PICTURES
    return kind in _READ[role]


def _made_of(message: Any) -> Iterator[Any]:
    if _is_read(message):
        yield message
        return
    role = message["role"]
    said: list[Any] = []
    results: list[Any] = []
    for block in message["content"]:
        made = _readable_block(block, role)
        if made.get("type") == "tool_result" and role == "assistant":
            results.append(made)
            continue
        if results:
            yield from _round(message, said, results)
            said, results = [], []
        said.append(made)
    yield from _round(message, said, results)


def _round(message: Mapping[str, Any], said: list[Any], results: list[Any]) -> Iterator[Any]:
    if said:
        yield {**message, "content": said}
    if results:
        yield {"role": "user", "content": results}


def _readable_block(block: Any, role: str) -> Any:
    if _is_read_block(block, role):
        return block
    kind = str(block.get("type"))
    if role == "assistant" and kind.endswith("_tool_use"):
        return {**_fields(block, ("id", "name", "input")), "type": "tool_use"}
    if kind.endswith("tool_result"):
        content = block.get("content")
        is_listed = isinstance(content, list) and kind in ("tool_result", "mcp_tool_result")
        made = [_readable_block(part, "user") for part in content] if is_listed else content
        made = made if is_listed or isinstance(content, str) else as_text(readable(content))
        return {**_fields(block, ("tool_use_id",)), "type": "tool_result", "content": made}
    return {"type": "text", "text": _text_of(block)}


def _fields(block: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: block[name] for name in names if name in block}


def _text_of(block: Mapping[str, Any]) -> str:
    """Return a document's or a search result's title and texts a line each, and others as JSON."""
    source = block.get("source")
    inner = source.get("data", source.get("content")) if isinstance(source, Mapping) else None
    texts = [source, block.get("content")] if inner is None else [inner]
    said = [text for each in texts for text in _texts(each)]
    if not said:
        rest = {key: value for key, value in block.items() if key not in _BESIDE}
        return as_text(readable(rest))
    titles = (block.get("title"), block.get("context"))
    return "\n".join([*(title for title in titles if isinstance(title, str) and title), *said])


def _texts(said: object) -> Iterator[str]:
    """Yield the texts of a string, or of text blocks."""
    for each in said if isinstance(said, list) else [said]:
        text = each.get("text") if isinstance(each, Mapping) else each
        if isinstance(text, str) and text:
            yield text
