"""The items of a /v1/responses input, one by one: what vLLM reads of each, and how to write it.

Source: vLLM 0.32.0, `entrypoints/openai/responses/protocol.py` (`input_item_parsing`, and what
pydantic makes of the rest) and `utils.py` (`_construct_message_from_response_item`). The tests in
`tests/vllm/test_responses_round_trip.py` hold this to vLLM's own code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from ..messages.message import Message, content_parts, has_media, part_text, plain_text

CALL = "function_call"

OUTPUT = "function_call_output"

_UNFINISHED = ("in_progress", "incomplete")

_INPUT_PARTS = ("input_text", "input_image", "input_file")


def as_mapping(item: Any) -> Mapping[str, Any]:
    """Return an item as a mapping; LiteLLM sends some as pydantic objects."""
    if isinstance(item, BaseModel):
        return item.model_dump(exclude_none=True)
    fields: Mapping[str, Any] = item
    return fields


def is_unfinished(item: Mapping[str, Any]) -> bool:
    """Return whether vLLM continues a request's last item (`should_continue_final_message`)."""
    if item.get("type", "message") not in ("message", "reasoning"):
        return False
    return item.get("status") in _UNFINISHED


def call_of(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tool call that vLLM reads in an item of the kind `CALL`."""
    name = item.get("name", "")
    if item.get("namespace"):
        name = f"{item['namespace']}__{name}"  # vLLM `flat_namespace_tool_name`
    function = {"name": name, "arguments": item.get("arguments") or ""}
    return {"id": item.get("call_id"), "type": "function", "function": function}


def result_of(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return the message that vLLM reads in an item of the kind `OUTPUT`."""
    return {"role": "tool", "content": item.get("output"), "tool_call_id": item.get("call_id")}


def reasoning_of(item: Mapping[str, Any]) -> str:
    """Return the reasoning that vLLM reads: the first text of the content, or of the summary."""
    parts = [*(item.get("content") or ()), *(item.get("summary") or ())]
    return str(parts[0].get("text", "")) if parts else ""


def is_own_message(item: Mapping[str, Any]) -> bool:
    """Return whether an assistant's item is a message as it stands, glued to none before it.

    vLLM glues what has a text: a string, or a first part with a text. An empty list has none, and
    a list that begins with a picture has none that is looked for.
    """
    content = item.get("content")
    if content is None or isinstance(content, str):
        return False
    return has_media(item) if content else item.get("type") != "message"


def with_media_first(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return an assistant's item with its media before its text.

    vLLM reads all of a content whose first part has no text, and else its first part only.
    """
    parts = sorted(content_parts(item), key=lambda part: part_text(part) is not None)
    return {**item, "content": parts}


def why_rewritten(item: Mapping[str, Any]) -> str | None:
    """Return why an item of a role or of a tool cannot go on as it came; None where it can."""
    if item.get("role") == "assistant":
        if _is_read_whole(item):
            return None
        return "vLLM reads only the first part of an assistant message's content"
    if item.get("role") == "tool":
        return "vLLM takes a tool result as a function_call_output only"
    if item.get("type") == "additional_tools":
        return None
    content = item.get("output" if item.get("type") == OUTPUT else "content")
    if content is None:
        return "vLLM takes no null content"
    if isinstance(content, str) or not isinstance(content, Sequence):
        return None  # what is neither text nor a list is named as a fault before it is sent
    if all(map(_is_taken_part, content)):
        return None
    return "vLLM takes text in parts of type input_text only"


def input_content(message: Message) -> str | list[Any]:
    """Return a message's content as vLLM takes it in an item: text parts are `input_text`."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    # vLLM takes no null here, and templates see an empty list like one.
    parts = content_parts(message)
    if isinstance(parts, list) and all(map(_is_taken_part, parts)):
        return parts
    # /v1/responses knows text parts by another type than /v1/chat/completions.
    return [
        part
        if part_text(part) is None or _is_taken_part(part)
        else {"type": "input_text", "text": part_text(part)}
        for part in parts
    ]


def with_chat_text_joined(message: Message) -> Message:
    """Return a message whose parts are all of chat's type `text` with a string in their place.

    A repair gives parts that type where the template takes no other. vLLM takes no such part here,
    and hands parts of the type that it takes to some renderers as they are (mistral-common).
    """
    content = message.get("content")
    if not content or isinstance(content, str):
        return message
    if not all(isinstance(part, Mapping) and part.get("type") == "text" for part in content):
        return message
    return {**message, "content": plain_text(message)}


def reply_items(message: Message, calls: Sequence[Any]) -> list[Any]:
    """Return an assistant message as items: its reasoning, its content, its calls.

    Args:
        message: The message.
        calls: Its calls as items.
    """
    items: list[Any] = []
    if message.get("reasoning") is not None:
        thought = {"type": "reasoning_text", "text": message["reasoning"]}
        items.append({"type": "reasoning", "summary": [], "content": [thought]})
    if has_media(message):
        # A list that begins with a picture is a message of its own: nothing is glued in front.
        content: Any = input_content(with_media_first(message))
        items.insert(0, {"role": "assistant", "content": content})
    elif message.get("content") not in (None, []):
        items.append({"role": "assistant", "content": plain_text(message)})
    return [*items, *calls] or [_opener()]


def is_opened(items: Sequence[Any]) -> bool:
    """Return whether an assistant's items begin with its content, which is glued to no other's."""
    return bool(items) and as_mapping(items[0]).get("role") == "assistant"


def opened(items: Sequence[Any]) -> list[Any]:
    """Return an assistant's items in an order in which vLLM glues them to no message before.

    vLLM glues reasoning and calls to the assistant message before them, and text to one without a
    content. So the content goes first, and where there is none, an empty one: an item of an empty
    list is a message of its own, which templates see like one whose content is null.
    """
    content = [item for item in items if as_mapping(item).get("role") == "assistant"]
    others = [item for item in items if as_mapping(item).get("role") != "assistant"]
    return [*(content or [_opener()]), *others]


def unfinished(items: Sequence[Any], *, apart: bool) -> Sequence[Any]:
    """Return an assistant's items, the last one marked so that vLLM continues the message.

    Args:
        items: The items.
        apart: Whether the first of them has to stay first, so that none is glued to those before.
    """
    if is_unfinished(as_mapping(items[-1])):
        return items
    first, rest = (list(items[:1]), items[1:]) if apart else ([], items)
    calls = [item for item in rest if as_mapping(item).get("type") == CALL]
    others = [item for item in rest if as_mapping(item).get("type") != CALL]
    ordered = [*first, *calls, *others]
    if as_mapping(ordered[-1]).get("type") == CALL:  # vLLM looks for no mark there
        ordered.append({"type": "reasoning", "summary": []})
    return [*ordered[:-1], {**as_mapping(ordered[-1]), "status": "in_progress"}]


def _opener() -> dict[str, Any]:
    return {"role": "assistant", "content": []}


def _is_read_whole(item: Mapping[str, Any]) -> bool:
    content = item.get("content")
    if isinstance(content, str):
        return True
    if content is None:
        return False  # vLLM refuses it
    if not content:
        return is_own_message(item)  # or vLLM fails: it looks for a first part
    first = content[0]
    if has_media(item):
        return part_text(first) is None and all(map(_is_taken_part, content))
    if len(content) > 1 or not isinstance(first, Mapping):
        return False
    return first.get("type") == "input_text" or (
        item.get("type") == "message" and first.get("type") == "output_text"
    )


def _is_taken_part(part: object) -> bool:
    return isinstance(part, Mapping) and part.get("type") in _INPUT_PARTS
