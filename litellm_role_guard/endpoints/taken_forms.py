"""Chat messages in forms that vLLM refuses whatever its template, written in those that it takes.

vLLM validates messages against OpenAI's types before a template sees them (0.32.0,
`entrypoints/openai/chat_completion/protocol.py`, `entrypoints/chat_utils.py`). Clients that speak
to several providers send forms of others. A field tells what it is, not a list of clients:

    a call without id or type, or flat, or whose arguments are an object    a call as of OpenAI
    its result, without id too                                              the same id
    text in a part of another type, or as a mere string                     a text part
    a thought among the parts of a reply                                    its reasoning
    a part of a kind that vLLM does not know                                its fields as JSON
    a name that is null                                                     no name
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..messages.message import MEDIA_KINDS, Message, call_name, part_text, tool_calls
from ..repair.change import Change
from .readable_json import as_text, readable

_OF_REPLIES = ("refusal", "tool_use")
"""Parts that are taken in a reply alone; the latter LiteLLM makes calls of."""

_BESIDE = ("type", "id", "cache_control")
_THOUGHT = re.compile("think|thought|reason")
_TOLD_BY = ("text", "thinking", "reasoning", "summary", "content")


class _Forms:
    """A conversation on the way through its messages."""

    def __init__(self) -> None:
        # The calls that had no id and have no result yet: their new ids, and these by their names.
        self._waiting: OrderedDict[str, None] = OrderedDict()
        self._named: dict[str, deque[str]] = {}

    def taken(self, at: int, message: Message) -> tuple[Message, Change | None]:
        """Return a message as vLLM takes it, and what was changed; the very message if nothing."""
        made, what, why = message, "content", ""
        if made.get("name", "") is None:
            made, why = _without(made, "name"), "vLLM takes no name that is null"
        content = made.get("content")
        if content and not isinstance(content, str) and not _are_taken(content, made["role"]):
            made, why = _with_taken_parts(made), "vLLM takes no part of this type, nor a string"
        calls = tool_calls(made)
        if made["role"] == "tool":
            answered = self._answered(made)
            if answered is not None:
                made = {**made, "tool_call_id": answered}
                what, why = "tools", "its call had no id, and has one now"
        elif not calls:
            self._waiting.clear()  # what was not answered until now is not any more
        written = [_as_call(call, f"call_{at}_{n}") for n, call in enumerate(calls)]
        for call, new in zip(calls, written, strict=True):
            if new is not call and call.get("id") is None:
                self._waiting[new["id"]] = None
                self._named.setdefault(call_name(new), deque()).append(new["id"])
        if any(new is not call for call, new in zip(calls, written, strict=True)):
            made = {**made, "tool_calls": written}
            what, why = "tools", "vLLM takes tool calls in OpenAI's form only"
        return made, None if made is message else Change(what, (at,), why)

    def _answered(self, result: Message) -> str | None:
        """Return the id of the call that a result without one answers; None where none waits.

        That is the first of them, of the same name where the result has one.
        """
        if result.get("tool_call_id") or not self._waiting:
            return None
        name = result.get("name")
        if not name:
            return self._waiting.popitem(last=False)[0]
        named = self._named.get(name) or deque()
        while named:
            call_id = named.popleft()
            if call_id in self._waiting:
                del self._waiting[call_id]
                return call_id
        return None


def in_taken_forms(messages: Sequence[Message]) -> tuple[Sequence[Message], tuple[Change, ...]]:
    """Return messages as vLLM takes them, and what was changed; the very list where nothing is.

    Args:
        messages: A conversation in which `find_validation_error` finds nothing. It is not changed.
    """
    if all(map(_is_taken, messages)):
        return messages, ()
    forms = _Forms()
    taken = [forms.taken(at, message) for at, message in enumerate(messages)]
    changes = tuple(change for _, change in taken if change is not None)
    return ([message for message, _ in taken], changes) if changes else (messages, ())


def _is_taken(message: Message) -> bool:
    """Return whether a message is taken as it is; a cheap check, since it runs on all of them."""
    content = message.get("content")
    is_text = content is None or isinstance(content, str)
    if is_text and len(message) == 2:
        return True
    if message.get("name", "") is None:
        return False
    if content and not is_text and not _are_taken(content, message["role"]):
        return False
    return all(_as_call(call, "") is call for call in tool_calls(message))


def _are_taken(parts: Sequence[Any], role: str) -> bool:
    return all(_is_taken_part(part, role) for part in parts)


def _is_taken_part(part: Any, role: str) -> bool:
    kind = part.get("type") if isinstance(part, Mapping) else None
    return kind == "text" or kind in MEDIA_KINDS or (role == "assistant" and kind in _OF_REPLIES)


def _with_taken_parts(message: Message) -> Message:
    role = message["role"]
    parts: list[Any] = []
    thoughts: list[str] = []
    for part in message["content"]:
        if _is_taken_part(part, role):
            parts.append(part)
        elif role == "assistant" and _is_thought(part):
            thoughts += _texts(part)
        elif (text := _text_of(part)) or isinstance(part, str):
            parts.append({"type": "text", "text": text})
    made = {**message, "content": parts}
    if thoughts:
        known = message.get("reasoning_content")
        before = [known] if isinstance(known, str) and known else []
        made["reasoning_content"] = "\n".join([*before, *thoughts])
    return made


def _is_thought(part: Any) -> bool:
    return isinstance(part, Mapping) and bool(_THOUGHT.search(str(part.get("type"))))


def _texts(said: Any) -> Iterator[str]:
    """Yield the texts of a thought, which some write under its type's name, or in parts."""
    if isinstance(said, str):
        yield said
    elif isinstance(said, Mapping):
        fields = (str(said.get("type")), *_TOLD_BY)
        yield from _texts(next((said[field] for field in fields if said.get(field)), ""))
    elif isinstance(said, Sequence):
        for each in said:
            yield from _texts(each)


def _text_of(part: Any) -> str:
    text = part_text(part)
    if text is None:
        return as_text(readable({k: v for k, v in part.items() if k not in _BESIDE}))
    return text


def _as_call(call: Any, new_id: str) -> Any:
    """Return a call in OpenAI's form; the very call where it is, or where nobody can tell."""
    made = call
    if "function" not in call and isinstance(call.get("name"), str):
        function = {key: call[key] for key in ("name", "arguments") if key in call}
        made = {**_without(call, *function), "type": "function", "function": function}
    function = made.get("function")
    if not isinstance(function, Mapping):
        return call
    arguments = function.get("arguments")
    if arguments is None or isinstance(arguments, Mapping):
        written = "" if arguments is None else json.dumps(arguments, ensure_ascii=False)
        made = {**made, "function": {**function, "arguments": written}}
    if made.get("type") is None:
        made = {**made, "type": "function"}
    return made if made.get("id") is not None else {**made, "id": new_id}


def _without(fields: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if key not in names}
