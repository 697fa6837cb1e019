"""A /v1/responses request read as the messages that vLLM makes of it, and written back.

vLLM answers /v1/responses itself: `instructions` become a system message, and each item of `input`
a message or a part of one (`vllm/entrypoints/openai/responses/utils.py`, 0.32.0). Roles stay as
they are there; a developer message reaches the template as one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..messages.message import Message, call_arguments, has_media, plain_text, tool_calls
from ..repair.change import Change
from .foreign_items import TranslatedItem, translated
from .responses_items import (
    CALL,
    OUTPUT,
    as_mapping,
    call_of,
    input_content,
    is_opened,
    is_own_message,
    is_unfinished,
    opened,
    reasoning_of,
    reply_items,
    result_of,
    unfinished,
    why_rewritten,
    with_chat_text_joined,
    with_media_first,
)


class ResponsesInput:
    """A request's `input` and `instructions` as a conversation.

    Args:
        request_input: The request's `input`, a string or a list of items.
        instructions: The request's `instructions`.

    Attributes:
        messages: The messages that vLLM makes of them.
        changes: What has to change whatever the template is, since vLLM itself would not read it.
        prefill: Whether vLLM continues the last message rather than answering it.
        labelled: The messages whose text begins with a label that tells what it is.
    """

    def __init__(self, request_input: str | Sequence[Any], instructions: str | None) -> None:
        self.messages: list[dict[str, Any]] = []
        self.changes: tuple[Change, ...] = ()
        self.prefill = False
        self.labelled: set[int] = set()
        self._input = request_input
        self._instructions = instructions
        self._origins: Sequence[int] | None = None  # by item: the client's, where they differ
        self._sources: list[list[int]] = []  # by message: the positions of its items
        self._rewritten: set[int] = set()  # messages that cannot be sent as their items are
        self._calls: dict[int, Any] = {}  # by identity of a call's function: the call's item
        self._glued_calls: list[Any] = []  # those of the last message that were glued to it
        if instructions:
            self._add({"role": "system", "content": instructions})
        if isinstance(request_input, str):
            self._add({"role": "user", "content": request_input})
            return
        items: Sequence[Mapping[str, Any]] = [as_mapping(item) for item in request_input]
        translation = translated(items)
        if translation is not None:
            self._origins = [made.origin for made in translation.items]
            self._input = [
                request_input[made.origin] if made.item is items[made.origin] else made.item
                for made in translation.items
            ]
            items = [made.item for made in translation.items]
        self.prefill = bool(items) and is_unfinished(items[-1])
        changes: list[Change] = []
        for position, item in enumerate(items):
            changes += self._read(position, item)
            if translation is not None:
                changes += self._note_translation(translation.items[position])
        if translation is not None:
            changes += (Change("items", (), why) for why in translation.left_out)
        self.changes = tuple(changes)

    def location(self, message: int) -> str:
        """Name the place in the request where a message comes from: its first item."""
        if self._sources[message]:
            source = self._sources[message][0]
            return f"input[{source if self._origins is None else self._origins[source]}]"
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
        if self._instructions and rest and _is_plain(rest[0], "system") and rest[0]["content"]:
            # System text that came as instructions goes back there.
            instructions = rest.pop(0)["content"]
        if isinstance(self._input, str) and len(rest) == 1 and _is_plain(rest[0], "user"):
            return {"input": rest[0]["content"], "instructions": instructions}
        items: list[Any] = []
        before: Message | None = None
        for message, following in itertools.zip_longest(rest, rest[1:]):
            written: Sequence[Any] = self._written(message, origins.get(id(message)))
            if _must_be_opened(written, message, before, following):
                written = opened(written)
            if self.prefill and following is None and _is_reply(message):
                written = unfinished(written, apart=_is_reply(before))
            items.extend(written)
            before = message
        return {"input": items, "instructions": instructions}

    def read_back(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Return what vLLM reads where these messages are sent."""
        return ResponsesInput(**_as_given(self.arguments(messages))).messages

    body = arguments  # LiteLLM sends these arguments to vLLM as the fields of the body

    def _add(self, message: dict[str, Any], source: int | None = None) -> None:
        self.messages.append(message)
        self._sources.append([] if source is None else [source])

    def _extend(self, source: int, key: str, value: Any) -> bool:
        """Put a field into the last message, where vLLM would: it is an assistant's, without it."""
        if not self.messages or self.messages[-1].get("role") != "assistant":
            return False
        last = self.messages[-1]
        if key == "tool_calls":
            # Appended to: to copy the list for each call would take the square of their number.
            if last.get(key) is not self._glued_calls:
                self._glued_calls = list(last.get(key) or ())
            self._glued_calls += value
            value = self._glued_calls
        elif last.get(key) is not None:
            return False
        last[key] = value
        self._sources[-1].append(source)
        return True

    def _read(self, position: int, item: Mapping[str, Any]) -> Iterator[Change]:
        """Read an item; yield what has to change of it whatever the template is."""
        kind = item.get("type")
        if kind == CALL:
            call = call_of(item)
            self._calls[id(call["function"])] = self._input[position]
            self._glue(position, "tool_calls", [call])
        elif kind == "reasoning":
            self._glue(position, "reasoning", reasoning_of(item))
        else:
            self._read_message(position, item)
            why = why_rewritten(item)
            if why is not None:
                self._rewritten.add(len(self.messages) - 1)
                yield self._change("content", why)

    def _read_message(self, position: int, item: Mapping[str, Any]) -> None:
        if item.get("role") == "assistant" and not is_own_message(item):
            return self._glue(position, "content", plain_text(item))
        if item.get("type") == OUTPUT:
            message = result_of(item)
        else:
            message = {key: value for key, value in item.items() if key != "type"}
            if item.get("role") == "assistant" and has_media(item):
                message = with_media_first(message)
        if isinstance(message.get("content"), (list, tuple)):
            message["content"] = input_content(message)
        return self._add(message, position)

    def _glue(self, position: int, key: str, value: Any) -> None:
        if not self._extend(position, key, value):
            self._add({"role": "assistant", key: value}, position)

    def _change(self, what: str, why: str) -> Change:
        return Change(what, (len(self.messages) - 1,), why)

    def _note_translation(self, made: TranslatedItem) -> Iterator[Change]:
        if made.labelled:
            self.labelled.add(len(self.messages) - 1)
        if made.why is not None:
            yield self._change("items", made.why)

    def _written(self, message: Message, origin: int | None) -> list[Any]:
        """Write a message as items: those that it was read from, or new ones."""
        if origin is None:
            return self._items(with_chat_text_joined(message))
        # Instructions may stand elsewhere now; they have no item.
        is_new = origin in self._rewritten or not self._sources[origin]
        if is_new or isinstance(self._input, str):
            return self._items(message)
        return [self._input[at] for at in self._sources[origin]]

    def _items(self, message: Message) -> list[Any]:
        """Write a message as the items that vLLM reads as this message."""
        if message["role"] == "tool":
            call_id, output = message.get("tool_call_id"), input_content(message)
            return [{"type": "function_call_output", "call_id": call_id, "output": output}]
        if message["role"] != "assistant":
            return [{**message, "content": input_content(message)}]
        return reply_items(message, [self._call_item(call) for call in tool_calls(message)])

    def _call_item(self, call: Mapping[str, Any]) -> Any:
        # A repair may give a call another id, and leaves its function the same object.
        source = self._calls.get(id(call["function"]))
        if source is not None:
            item = as_mapping(source)
            unchanged = item.get("call_id") == call.get("id")
            return source if unchanged else {**item, "call_id": call.get("id")}
        function = {"name": call["function"]["name"], "arguments": call_arguments(call)}
        return {"type": "function_call", "call_id": call.get("id"), **function}


def _is_plain(message: Message, role: str) -> bool:
    return message["role"] == role and isinstance(message.get("content"), str)


def _must_be_opened(
    written: Sequence[Any], message: Message, before: Message | None, following: Message | None
) -> bool:
    """Return whether vLLM would glue an assistant's items to those of another one beside it."""
    if not _is_reply(message) or is_opened(written):
        return False
    # What has no content takes that of the message behind it.
    return _is_reply(before) or (_is_reply(following) and not message.get("content"))


def _is_reply(message: Message | None) -> bool:
    return message is not None and message["role"] == "assistant"


def _as_given(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {"request_input": arguments["input"], "instructions": arguments["instructions"]}
