"""Reading OpenAI-style messages: their texts, parts, media and tool calls."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeGuard

Message = Mapping[str, Any]


# A part's text stands under a key that depends on its type (vLLM `MM_PARSER_MAP`).
TEXT_KEYS = {
    "text": "text",
    "input_text": "text",
    "output_text": "text",
    "refusal": "refusal",
    "thinking": "thinking",
}


# The kind under which a template sees a media part.
MEDIA_KINDS = {
    "image_url": "image",
    "input_image": "image",
    "image": "image",
    "image_pil": "image",
    "image_embeds": "image",
    "audio_url": "audio",
    "input_audio": "audio",
    "audio": "audio",
    "audio_embeds": "audio",
    "video_url": "video",
    "video": "video",
    "video_embeds": "video",
    "file": "file",
    "input_file": "file",
}


def is_object(value: object) -> TypeGuard[Mapping[str, Any]]:
    """Return whether a value is a JSON object."""
    return type(value) is dict or isinstance(value, Mapping)  # the second check is slow


def part_text(part: object) -> str | None:
    """Return the text of a content part; None for a part without text, such as an image."""
    if isinstance(part, str):
        return part
    if is_object(part):
        key = _text_key(part)
        text = part.get(key) if key is not None else None
        if is_nested_thought(part):
            return "\n".join(filter(None, map(part_text, part["thinking"])))
        return text if isinstance(text, str) else None
    return None


def _text_key(part: Mapping[str, Any]) -> str | None:
    kind = part.get("type")
    # A client may put a list there, for which no table can be asked.
    return TEXT_KEYS.get(kind) if isinstance(kind, str) else None


def is_nested_thought(part: object) -> bool:
    """Return whether a part is a thought in parts of its own, as Mistral's API writes them."""
    return (
        is_object(part)
        and part.get("type") == "thinking"
        and isinstance(part.get("thinking"), (list, tuple))
    )


def content_parts(message: Message) -> Sequence[Any]:
    """Return a message's content as a list of parts; a string is one part, null is none."""
    content = message.get("content")
    if content is None:
        return ()
    return (content,) if isinstance(content, str) else content


def texts(message: Message) -> Iterator[str]:
    """Yield the texts of a message's content and its refusal, in order, without empty ones."""
    for part in content_parts(message):
        text = part_text(part)
        if text:
            yield text
    refusal = message.get("refusal")
    if isinstance(refusal, str) and refusal:
        yield refusal


def plain_text(message: Message) -> str:
    """Return a message's texts as one string, joined by a line break as vLLM joins parts."""
    return "\n".join(texts(message))


def has_media(message: Message) -> bool:
    """Return whether a message has a part that is not text."""
    content = message.get("content")
    if content is None or isinstance(content, str):
        return False
    return any(is_object(part) and _text_key(part) is None for part in content)


def tool_calls(message: Message) -> Sequence[Mapping[str, Any]]:
    """Return an assistant message's tool calls; none for every other message."""
    if message.get("role") != "assistant":
        return ()
    return message.get("tool_calls") or ()


def call_name(call: Mapping[str, Any]) -> str:
    """Return the name of the tool that a call asks for."""
    return str(_called(call).get("name"))


def call_arguments(call: Mapping[str, Any]) -> str:
    """Return a tool call's arguments as the model wrote them.

    That is JSON text, or the input of a custom tool.
    """
    called = _called(call)
    arguments = called.get("arguments", called.get("input"))
    if arguments is None:
        return ""
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)


def _called(call: Mapping[str, Any]) -> Mapping[str, Any]:
    called = call.get("function", call.get("custom"))
    return called if isinstance(called, Mapping) else call


def is_empty(message: Message) -> bool:
    """Return whether a message says nothing: no text but white space, no media, no tool call."""
    if tool_calls(message) or message.get("function_call"):
        return False
    if has_media(message):
        return False
    return not any(text.strip() for text in texts(message))
