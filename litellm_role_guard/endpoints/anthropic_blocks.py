"""The content blocks of /v1/messages that LiteLLM leaves out, written as blocks that it reads.

LiteLLM (1.108.7, `llms/anthropic/pass_through/adapters/transformation.py`) reads text, pictures,
tool calls, their results and thoughts. Clients send more: documents as text, search results, and
what Anthropic's own tools did. A block's type tells what it becomes, not a list of names:

    a provider's own call     `*_tool_use`: a tool_use
    what came of it           `*_tool_result`: a tool_result, in a user message of its own
    a mere string             a text block; of several in a reply LiteLLM keeps the last alone
    any other                 a text block with all that a model can read of it
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from operator import is_
from typing import Any

from .readable_json import as_text, readable

_RESULT = "result"
"""In the place of a role: what stands in the content of a `tool_result`."""

_READ = {
    "user": ("text", "image"),
    "assistant": ("text", "tool_use", "thinking", "redacted_thinking"),
    "system": ("text",),
    _RESULT: ("text", "image"),
}
_PICTURES = ("base64", "url")

# What a block has beside that which it says.
_BESIDE = ("type", "cache_control", "citations")


def with_all_blocks_read(messages: Sequence[Any]) -> list[Any] | None:
    """Return messages of which LiteLLM reads every block; None where it does as they are.

    Args:
        messages: The request's messages, which may be malformed. They are not changed.

    Raises:
        RecursionError: They are nested hundreds of levels deep.
    """
    made = [each for message in messages for each in _made_of(message)]
    is_same = len(made) == len(messages) and all(map(is_, made, messages))
    return None if is_same else made


def _made_of(message: Any) -> Iterator[Any]:
    role = message.get("role") if isinstance(message, Mapping) else None
    content = message.get("content") if isinstance(message, Mapping) else None
    blocks: Sequence[Any] = content if isinstance(content, list) else ()
    if role not in ("user", "assistant", "system") or not all(map(_is_block, blocks)):
        yield message  # malformed, or nobody knows what it is
        return
    made = [_readable_block(block, role) for block in blocks]
    if all(map(is_, made, blocks)):
        yield message
        return
    said: list[Any] = []
    results: list[Any] = []
    for block in made:
        if block.get("type") == "tool_result" and role == "assistant":
            results.append(block)
            continue
        if results:
            yield from _round(message, said, results)
            said, results = [], []
        said.append(block)
    yield from _round(message, said, results)


def _is_block(block: object) -> bool:
    return isinstance(block, (str, Mapping))


def _round(message: Mapping[str, Any], said: list[Any], results: list[Any]) -> Iterator[Any]:
    if said:
        yield {**message, "content": said}
    if results:
        yield {"role": "user", "content": results}


def _readable_block(block: Any, role: str) -> Any:
    """Return a block as LiteLLM reads it; the very block where it does, or where it is none."""
    if isinstance(block, str) and role != _RESULT:
        return {"type": "text", "text": block}
    if not isinstance(block, Mapping):
        return block
    kind = block.get("type")
    if kind in _READ[role] or (role in ("user", _RESULT) and _is_picture(block)):
        return block
    kind = str(kind)
    if role == "assistant" and kind.endswith("_tool_use"):
        return {**_fields(block, ("id", "name", "input")), "type": "tool_use"}
    if role in ("user", "assistant") and kind.endswith("tool_result"):
        content = block.get("content")
        made = _readable_result(content, kind)
        if made is content and kind == "tool_result" and role == "user":
            return block
        return {**_fields(block, ("tool_use_id",)), "type": "tool_result", "content": made}
    return {"type": "text", "text": _text_of(block)}


def _readable_result(content: Any, kind: str) -> Any:
    if content is None or isinstance(content, str):
        return content
    if not isinstance(content, list) or kind not in ("tool_result", "mcp_tool_result"):
        return as_text(readable(content))
    made = [_readable_block(part, _RESULT) for part in content]
    return content if all(map(is_, made, content)) else made


def _is_picture(block: Mapping[str, Any]) -> bool:
    source = block.get("source")
    if block.get("type") != "document" or not isinstance(source, Mapping):
        return False
    return source.get("type") in _PICTURES


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
