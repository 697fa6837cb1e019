"""Conversations in a file: JSON with one, or JSON Lines with one on each line.

A conversation is a list of messages, or an object with `messages` and, optionally, `tools`: the
body of a chat request is one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from ..messages.message import Message
from ..messages.validation import find_validation_error

_LINES = (".jsonl", ".ndjson")

_STRINGS = ("name", "tool_call_id", "refusal", "reasoning", "reasoning_content")


class BadConversation(ValueError):  # noqa: N818 - named like its twin, TemplateInvalid
    """A file does not hold a conversation; the message names the place and the fault."""


@dataclass(frozen=True)
class FileConversation:
    """A conversation from a file.

    Attributes:
        messages: Messages without a validation error.
        tools: The tool definitions that go with it.
        prefill: Whether the last message is the opening of the reply.
        line: Its line, counted from 1; None if it is the whole file.
    """

    messages: Sequence[Message]
    tools: Sequence[Mapping[str, Any]] | None = None
    prefill: bool = False
    line: int | None = None


def read_conversations(written: bytes, name: str) -> list[FileConversation]:
    """Return the conversations of a file.

    It has one conversation on each line if its name says so, or if its first line alone is JSON.

    Args:
        written: The content of the file.
        name: The name of the file; `.jsonl` and `.ndjson` mean one conversation on each line.

    Raises:
        BadConversation: The file holds no conversation, or something else as well.
    """
    try:
        text = written.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = written.count(b"\n", 0, error.start) + 1
        raise BadConversation(f"line {line}: not UTF-8") from error
    lines = [(at, line) for at, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        raise BadConversation("empty")
    if name.endswith(_LINES) or (len(lines) > 1 and _is_json(lines[0][1])):
        return [_conversation(_parsed(line, at), at) for at, line in lines]
    return [_conversation(_parsed(text), None)]


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _parsed(text: str, line: int | None = None) -> object:
    try:
        value = json.loads(text, parse_constant=_no_constant)
        json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        where = f"line {error.lineno if line is None else line}, column {error.colno}"
        raise BadConversation(f"{where}: not JSON: {error.msg}") from error
    except UnicodeEncodeError as error:
        raise _bad(line, "holds half of a surrogate pair, which is no character") from error
    except (ValueError, RecursionError) as error:  # NaN, a number of thousands of digits, ...
        raise _bad(line, f"cannot be read: {error}") from error
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON")


def _conversation(value: object, line: int | None) -> FileConversation:
    body = value if isinstance(value, dict) else {"messages": value}
    if not isinstance(value, (dict, list)):
        raise _bad(line, "must be a list of messages, or an object with `messages`")
    messages, tools = body.get("messages"), body.get("tools")
    fault = find_validation_error(messages)
    if fault is not None:
        raise _bad(line, str(fault))
    if tools is not None and not (
        isinstance(tools, list) and all(isinstance(tool, dict) for tool in tools)
    ):
        raise _bad(line, "tools: must be a list of objects")
    assert isinstance(messages, list)  # or it would have a fault
    for at, message in enumerate(messages):
        if (field := _misused(message)) is not None:
            raise _bad(line, f"messages[{at}]: {field} must be a string")
    last = messages[-1]
    continued = body.get("continue_final_message") or last.get("prefix")
    return FileConversation(
        messages, tools or None, last["role"] == "assistant" and bool(continued), line
    )


def _misused(message: Message) -> str | None:
    """Return the first field that must be a string for vLLM's request model and is none."""
    for field in _STRINGS:
        if not isinstance(message.get(field), (str, type(None))):
            return field
    for position, call in enumerate(message.get("tool_calls") or ()):
        if not isinstance(call.get("id"), (str, type(None))):
            return f"tool_calls[{position}].id"
    return None


def _bad(line: int | None, reason: str) -> BadConversation:
    return BadConversation(reason if line is None else f"line {line}: {reason}")
