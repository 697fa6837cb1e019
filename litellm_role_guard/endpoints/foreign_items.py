"""Items of a /v1/responses input that vLLM does not take, written as items that it takes.

vLLM reads messages, function calls, their outputs and plain reasoning, and refuses a request with
any other item, or with one of another form (0.32.0, `input_item_parsing` in `protocol.py`, and
`_construct_message_from_response_item` in `utils.py`). Clients send many more: what OpenAI's own
tools did, what another provider has encrypted, references to items of earlier responses, and kinds
that are yet to come. So the fields of an item tell what it becomes, not a list of names:

    a call                  `call_id`, or a type that ends with `_call`: a function_call
    a call without call_id  the provider itself ran it: a function_call and its output
    an output               a type that ends with `_output`: a function_call_output
    an item_reference       nothing: what is known of them was put in before (response_store.py)
    any other               a user message, labelled with the item's type
    what nobody can read    nothing: encrypted content, and an item in which nothing else is
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ..messages.message import part_text
from .readable_json import as_text, readable

_MESSAGE_TYPES = (None, "message", "additional_tools")

_ITEM_FIELDS = ("type", "id", "status")

_CALL_FIELDS = (*_ITEM_FIELDS, "call_id", "name", "namespace", "server_label")

_RESULTS = ("output", "outputs", "results", "result", "error")
"""Where an item may hold what came of a call, the best first."""

_THOUGHTS = ("thinking", "redacted_thinking")

_PLAIN_NAME = re.compile(r"[\w.-]{1,64}", re.ASCII)


class TranslatedItem(NamedTuple):
    """An item that vLLM takes.

    Attributes:
        item: The item.
        origin: The position of the client's item that it was made of.
        why: Why it is not the client's; None where it is, and where an item before it tells.
        labelled: Whether it is a message whose text begins with a label that tells what it is.
    """

    item: Mapping[str, Any]
    origin: int
    why: str | None = None
    labelled: bool = False


class Translation(NamedTuple):
    """An input of which vLLM takes each item.

    Attributes:
        items: The items.
        left_out: Why each item was left out that has nothing in its place.
    """

    items: Sequence[TranslatedItem]
    left_out: Sequence[str]


def translated(items: Sequence[Mapping[str, Any]]) -> Translation | None:
    """Return an input of which vLLM takes each item; None where it takes them as they are.

    Args:
        items: The request's `input`. It is not changed.
    """
    return None if all(map(_is_taken, items)) else _Translator().translation(items)


def is_reference(item: Mapping[str, Any]) -> bool:
    """Return whether an item stands for one of an earlier response; it may have an id alone."""
    kind = item.get("type")
    return kind == "item_reference" or (kind is None and "id" in item and "role" not in item)


def _is_taken(item: Mapping[str, Any]) -> bool:
    kind = item.get("type")
    if kind == "function_call":
        return item.get("arguments") is None or isinstance(item["arguments"], str)
    if kind == "reasoning":
        return item.get("encrypted_content") in (None, "") and _is_plain_reasoning(item)
    if kind not in _MESSAGE_TYPES:
        return bool(kind == "function_call_output")
    if "role" not in item:
        return kind is None and not is_reference(item)  # it is a fault, and named as one
    return not _has_thoughts(item)


class _Translator:
    """The items on the way through an input."""

    def __init__(self) -> None:
        self._items: list[TranslatedItem] = []
        self._left_out: list[str] = []
        # Of calls that the provider ran: these wait until the calls beside them are written.
        self._outputs: list[TranslatedItem] = []
        self._call_ids: dict[str, str] = {}  # by the ids of the items of calls

    def translation(self, items: Sequence[Mapping[str, Any]]) -> Translation:
        for at, item in enumerate(items):
            for made in self._made_of(at, item):
                if made.item.get("type") != "function_call":
                    self._write_outputs()
                self._items.append(made)
        self._write_outputs()
        return Translation(self._items, self._left_out)

    def _write_outputs(self) -> None:
        self._items += self._outputs
        self._outputs = []

    def _made_of(self, at: int, item: Mapping[str, Any]) -> Iterator[TranslatedItem]:
        kind = item.get("type")
        if _is_taken(item):
            yield TranslatedItem(item, at)
        elif kind == "reasoning":
            yield from self._reasoning(at, item)
        elif "role" in item and ("content" in item or kind in _MESSAGE_TYPES):
            yield from self._message(at, item)
        elif is_reference(item):
            self._leave_out(at, "the item it refers to is not known")
        elif str(kind).endswith("_output"):
            yield self._output(at, item)
        elif _string(item, "call_id") or str(kind).endswith("_call"):
            yield self._call(at, item)
        else:
            yield from self._text(at, item)

    def _leave_out(self, at: int, why: str) -> None:
        self._left_out.append(f"input[{at}] is left out: {why}")

    def _reasoning(self, at: int, item: Mapping[str, Any]) -> Iterator[TranslatedItem]:
        why = "vLLM takes no reasoning that another provider has encrypted, nor in another form"
        if _is_plain_reasoning(item):
            kept = {key: value for key, value in item.items() if key != "encrypted_content"}
            if item.get("content") or item.get("summary"):
                yield TranslatedItem(kept, at, why)
                return
        text = _text_of(item.get("content")) or _text_of(item.get("summary"))
        if text:
            yield TranslatedItem(_reasoning_item(text), at, why)
        else:
            self._leave_out(at, "no model can read its reasoning")

    def _message(self, at: int, item: Mapping[str, Any]) -> Iterator[TranslatedItem]:
        why = "vLLM takes a message of this type as a plain one only"
        message = dict(item)
        if item.get("type") not in _MESSAGE_TYPES:
            del message["type"]
        if _has_thoughts(item):
            why = "vLLM takes what an assistant has thought as an item of its own only"
            thoughts = [part for part in item["content"] if _is_thought(part)]
            message["content"] = [part for part in item["content"] if not _is_thought(part)]
            text = _text_of(thoughts)
            if text:
                yield TranslatedItem(_reasoning_item(text), at, why)
                if message["content"]:
                    yield TranslatedItem(message, at)
                return
        yield TranslatedItem(message, at, why)

    def _call(self, at: int, item: Mapping[str, Any]) -> TranslatedItem:
        shown = _shown_type(item)
        why = f"vLLM takes a {shown} as a function_call only"
        own_id = _string(item, "id")
        call_id = _string(item, "call_id") or own_id or f"call_{at}"
        if own_id is not None:
            self._call_ids[own_id] = call_id
        is_run = not _string(item, "call_id") and item.get("type") != "function_call"
        call = {"type": "function_call", "call_id": call_id}
        call["name"] = _string(item, "name") or shown.removesuffix("_call")
        namespace = _string(item, "namespace")
        if namespace is not None:
            call["namespace"] = namespace
        call["arguments"] = _arguments(item, is_run=is_run)
        if is_run:
            output = {"type": "function_call_output", "call_id": call_id, "output": _result(item)}
            self._outputs.append(TranslatedItem(output, at))
        return TranslatedItem(call, at, why)

    def _output(self, at: int, item: Mapping[str, Any]) -> TranslatedItem:
        why = f"vLLM takes a {_shown_type(item)} as a function_call_output only"
        own_id = _string(item, "id") or f"call_{at}"
        call_id = _string(item, "call_id") or self._call_ids.get(own_id, own_id)
        output = {"type": "function_call_output", "call_id": call_id, "output": _result(item)}
        return TranslatedItem(output, at, why)

    def _text(self, at: int, item: Mapping[str, Any]) -> Iterator[TranslatedItem]:
        shown = _shown_type(item)
        text = as_text(readable(_without(item, _ITEM_FIELDS)))
        if text:
            said = {"role": "user", "content": f"[Item: {shown}]\n{text}"}
            yield TranslatedItem(said, at, f"vLLM takes no {shown}", labelled=True)
        else:
            self._leave_out(at, f"no model can read a {shown}")


def _shown_type(item: Mapping[str, Any]) -> str:
    """Return an item's type as a name; what a client may put there otherwise is no text to show."""
    kind = item.get("type")
    return kind if isinstance(kind, str) and _PLAIN_NAME.fullmatch(kind) else "unknown"


def _string(item: Mapping[str, Any], field: str) -> str | None:
    """Return a field that is a text and not empty; None for any other."""
    value = item.get(field)
    return value if isinstance(value, str) and value else None


def _without(item: Mapping[str, Any], fields: Sequence[str]) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key not in fields}


def _arguments(item: Mapping[str, Any], *, is_run: bool) -> str:
    """Return what a call asks for, as JSON.

    Args:
        item: The item of the call.
        is_run: Whether what came of it is in the item, too.
    """
    if item.get("type") == "custom_tool_call":
        # As vLLM reads those that it takes (`encode_custom_tool_input`).
        return as_text({"input": item.get("input") or ""})
    if "arguments" in item:
        return as_text(item["arguments"])
    fields = readable(_without(item, (*_CALL_FIELDS, *(_RESULTS if is_run else ()))))
    # Most have their arguments in a single field: `action`, `operation`.
    (only, *others) = fields.values() or ({},)
    return as_text(only if isinstance(only, Mapping) and not others else fields) or "{}"


def _result(item: Mapping[str, Any]) -> str | list[Any]:
    """Return what came of a call: its text, its parts, or its screenshot."""
    for field in _RESULTS:
        result = item.get(field)
        if isinstance(result, Mapping) and isinstance(result.get("image_url"), str):
            # All but a picture's address says where it was taken.
            return [{"type": "input_image", "image_url": result["image_url"], "detail": "auto"}]
        if isinstance(result, (list, tuple)) and all(map(_is_input_part, result)) and result:
            return list(result)
        text = as_text(readable(result))
        if text:
            return text
    rest = readable(_without(item, (*_CALL_FIELDS, *_RESULTS)))
    is_output = str(item.get("type")).endswith("_output")
    return (as_text(rest) if is_output else "") or as_text(item.get("status"))


def _is_input_part(part: object) -> bool:
    return isinstance(part, Mapping) and str(part.get("type")).startswith("input_")


def _is_thought(part: object) -> bool:
    return isinstance(part, Mapping) and part.get("type") in _THOUGHTS


def _has_thoughts(item: Mapping[str, Any]) -> bool:
    content = item.get("content")
    if item.get("role") != "assistant" or not isinstance(content, (list, tuple)):
        return False
    return any(map(_is_thought, content))


_STATUSES = (None, "in_progress", "completed", "incomplete")


def _is_plain_reasoning(item: Mapping[str, Any]) -> bool:
    """Return whether reasoning is of the form that vLLM parses (`ResponseReasoningItem`)."""
    content, summary = item.get("content"), item.get("summary")
    return (
        isinstance(item.get("id", ""), str)
        and item.get("status") in _STATUSES
        and isinstance(summary, list)
        and all(_is_part(part, "summary_text") for part in summary)
        and (content is None or isinstance(content, list))
        and all(_is_part(part, "reasoning_text") for part in content or ())
    )


def _is_part(part: object, kind: str) -> bool:
    return (
        isinstance(part, Mapping) and part.get("type") == kind and isinstance(part.get("text"), str)
    )


def _text_of(parts: object) -> str:
    """Return the text of reasoning, or of parts of thoughts, whatever form it has."""
    if isinstance(parts, (str, Mapping)):
        parts = [parts]
    if not isinstance(parts, (list, tuple)):
        return ""
    texts = [_text_in(part) for part in parts]
    return "\n".join(text for text in texts if text)


def _text_in(part: object) -> str | None:
    text = part_text(part)
    if text is None and isinstance(part, Mapping) and isinstance(part.get("text"), str):
        return str(part["text"])
    return text


def _reasoning_item(text: str) -> dict[str, Any]:
    thought = {"type": "reasoning_text", "text": text}
    return {"type": "reasoning", "summary": [], "content": [thought]}
