"""A /v1/responses request read as the messages that vLLM makes of it, and written back.

vLLM answers /v1/responses itself: `instructions` become a system message, and each item of `input`
a message or a part of one (`vllm/entrypoints/openai/responses/utils.py`, 0.32.0). Roles stay as
they are there; a developer message reaches the template as one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from ..messages.message import (
    Message,
    call_arguments,
    content_parts,
    part_text,
    plain_text,
    tool_calls,
)
from ..repair.change import Change

_CALLS = ("function_call", "custom_tool_call")

_OUTPUTS = ("function_call_output", "custom_tool_call_output")

_ENCRYPTED = "encrypted_content"
_UNFINISHED = ("in_progress", "incomplete")


class UnreadableInputError(ValueError):
    """The input holds an item that vLLM turns into no message; it refuses such a request."""


class ResponsesInput:
    """A request's `input` and `instructions` as a conversation.

    Args:
        request_input: The request's `input`, a string or a list of items.
        instructions: The request's `instructions`.

    Attributes:
        messages: The messages that vLLM makes of them.
        changes: What has to change whatever the template is, since vLLM itself would not read it.
        prefill: Whether vLLM continues the last message rather than answering it.

    Raises:
        UnreadableInputError: An item is of no kind that vLLM knows.
    """

    def __init__(self, request_input: str | Sequence[Any], instructions: str | None) -> None:
        self.messages: list[Message] = []
        self.changes: tuple[Change, ...] = ()
        self.prefill = False
        self._input = request_input
        self._instructions = instructions
        self._sources: list[list[int]] = []  # by message: the positions of its items
        self._rewritten: set[int] = set()  # messages that cannot be sent as their items are
        self._calls: dict[int, Any] = {}  # by identity of a call's function: the call's item
        if instructions:
            self._add({"role": "system", "content": instructions})
        if isinstance(request_input, str):
            self._add({"role": "user", "content": request_input})
            return
        items = [as_mapping(item) for item in request_input]
        if items and items[-1].get("type", "message") in ("message", "reasoning"):
            self.prefill = items[-1].get("status") in _UNFINISHED
        for position, item in enumerate(items):
            self._read(position, item, left_alone=self.prefill and position == len(items) - 1)

    def location(self, message: int) -> str:
        """Name the place in the request where a message comes from: its first item."""
        if self._sources[message]:
            return f"input[{self._sources[message][0]}]"
        return "instructions" if message == 0 and self._instructions else "input"

    def arguments(self, messages: Sequence[Message]) -> dict[str, Any]:
        """Return `input` and `instructions` that vLLM reads as these messages.

        Args:
            messages: A repaired form of `messages`. What is unchanged in it keeps its items.

        Returns:
            The two fields; `instructions` is None where there are none.
        """
        origins = {id(message): position for position, message in enumerate(self.messages)}
        instructions = None
        rest = list(messages)
        if self._instructions and rest and rest[0]["role"] == "system":
            # System text that came as instructions goes back there, as plain text.
            instructions = plain_text(rest.pop(0))
        if isinstance(self._input, str) and len(rest) == 1 and _is_plain_user(rest[0]):
            return {"input": rest[0]["content"], "instructions": instructions}
        items: list[Any] = []
        for message in rest:
            origin = origins.get(id(message))
            if origin is None or origin in self._rewritten or isinstance(self._input, str):
                items.extend(self._items(message))
            else:
                items.extend(_readable(self._input[at]) for at in self._sources[origin])
        return {"input": items, "instructions": instructions}

    body = arguments  # LiteLLM sends these arguments to vLLM as the fields of the body

    def _add(self, message: dict[str, Any], source: int | None = None) -> None:
        self.messages.append(message)
        self._sources.append([] if source is None else [source])

    def _extend(self, source: int, key: str, value: Any) -> bool:
        """Put a field into the last message, where vLLM would: it is an assistant's, without it."""
        if not self.messages or self.messages[-1].get("role") != "assistant":
            return False
        if key == "tool_calls":
            value = [*(self.messages[-1].get(key) or ()), *value]
        elif self.messages[-1].get(key) is not None:
            return False
        self.messages[-1] = {**self.messages[-1], key: value}
        self._sources[-1].append(source)
        return True

    def _read(self, position: int, item: Mapping[str, Any], *, left_alone: bool) -> None:
        kind = item.get("type")
        if kind in _CALLS:
            call = _call(item)
            self._calls[id(call["function"])] = self._input[position]
            field: tuple[str, Any] = ("tool_calls", [call])
        elif kind == "reasoning":
            field = ("reasoning", _reasoning(item, position))
        elif kind in _OUTPUTS:
            return self._add(_result(item), position)
        elif item.get("role") == "assistant":
            field = ("content", plain_text(item))
        elif "role" in item:
            return self._add({k: v for k, v in item.items() if k != "type"}, position)
        else:
            raise UnreadableInputError(f"input[{position}]: unknown type {kind!r}")
        if not self._extend(position, *field):
            self._add({"role": "assistant", field[0]: field[1]}, position)
        if kind == "reasoning" and item.get(_ENCRYPTED):
            why = "vLLM refuses reasoning that another provider has encrypted"
            self.changes += (Change("content", (len(self.messages) - 1,), why),)
        if field[0] == "content" and not _is_read_whole(item) and not left_alone:
            message = len(self.messages) - 1
            why = "vLLM reads only the first part of an assistant message's content"
            self._rewritten.add(message)
            self.changes += (Change("content", (message,), why),)
        return None

    def _items(self, message: Message) -> list[Any]:
        """Write a message as the items that vLLM reads as this message."""
        if message["role"] == "tool":
            call_id = message.get("tool_call_id")
            output = message.get("content") or ""
            return [{"type": "function_call_output", "call_id": call_id, "output": output}]
        if message["role"] != "assistant":
            return [{**message, "content": _content(message)}]
        items: list[Any] = []
        if message.get("reasoning"):
            thought = {"type": "reasoning_text", "text": message["reasoning"]}
            items.append({"type": "reasoning", "summary": [], "content": [thought]})
        if message.get("content") is not None:
            items.append({"role": "assistant", "content": plain_text(message)})
        items.extend(self._call_item(call) for call in tool_calls(message))
        return items

    def _call_item(self, call: Mapping[str, Any]) -> Any:
        # A repair may give a call another id, and leaves its function the same object.
        source = self._calls.get(id(call["function"]))
        if source is not None:
            item = as_mapping(source)
            unchanged = item.get("call_id") == call.get("id")
            return source if unchanged else {**item, "call_id": call.get("id")}
        function = {"name": call["function"]["name"], "arguments": call_arguments(call)}
        return {"type": "function_call", "call_id": call.get("id"), **function}


def as_mapping(item: Any) -> Mapping[str, Any]:
    """Return an item as a mapping; LiteLLM sends some as pydantic objects."""
    if isinstance(item, BaseModel):
        return item.model_dump(exclude_none=True)
    fields: Mapping[str, Any] = item
    return fields


def _call(item: Mapping[str, Any]) -> dict[str, Any]:
    arguments = item.get("arguments")
    if item.get("type") == "custom_tool_call":
        arguments = json.dumps({"input": item.get("input") or ""}, ensure_ascii=False)
    name = item.get("name", "")
    if item.get("namespace") and item.get("type") == "function_call":
        name = f"{item['namespace']}__{name}"  # vLLM `flat_namespace_tool_name`
    function = {"name": name, "arguments": arguments or ""}
    return {"id": item.get("call_id"), "type": "function", "function": function}


def _result(item: Mapping[str, Any]) -> dict[str, Any]:
    return {"role": "tool", "content": item.get("output"), "tool_call_id": item.get("call_id")}


def _reasoning(item: Mapping[str, Any], position: int) -> str:
    # vLLM takes the first text of the content, or else of the summary.
    parts: list[Any] = []
    for field in ("content", "summary"):
        value = item.get(field) or []
        if not isinstance(value, list) or not all(isinstance(part, Mapping) for part in value):
            raise UnreadableInputError(f"input[{position}]: its {field} is no list of objects")
        parts += value
    return str(parts[0].get("text", "")) if parts else ""


def _readable(item: Any) -> Any:
    """Return an item without what vLLM refuses to read; the same item where it has none of it."""
    fields = as_mapping(item)
    if fields.get("type") != "reasoning" or not fields.get(_ENCRYPTED):
        return item
    return {key: value for key, value in fields.items() if key != _ENCRYPTED}


def _is_read_whole(item: Mapping[str, Any]) -> bool:
    content = item.get("content")
    if content is None or isinstance(content, str):
        return True
    only = content[0] if len(content) == 1 else None
    typed = item.get("type") == "message"
    return typed and isinstance(only, Mapping) and only.get("type") == "output_text"


def _is_plain_user(message: Message) -> bool:
    return message["role"] == "user" and isinstance(message.get("content"), str)


def _content(message: Message) -> str | list[Any]:
    content = message.get("content")
    if content is None or isinstance(content, str):
        return content or ""
    # /v1/responses knows text parts by another type than /v1/chat/completions.
    return [
        part
        if part_text(part) is None or _is_input_part(part)
        else {"type": "input_text", "text": part_text(part)}
        for part in content_parts(message)
    ]


def _is_input_part(part: object) -> bool:
    return isinstance(part, Mapping) and part.get("type") == "input_text"
