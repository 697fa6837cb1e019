"""Cases with a mark in each text, so that a prompt tells what of them was read."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .conversations import Case, Message


@dataclass(frozen=True)
class Marked:
    """A case with a mark, a word that nobody else says, in each text and tool argument.

    Attributes:
        messages: The messages, of the same shape as the case's.
        unordered_marks: The marks of the leading system and developer messages, which may be
            shown anywhere.
        steps: The other marks in order; those of a round of tool calls and results are one step,
            since a template may pair each call with its result.
    """

    messages: list[Message]
    unordered_marks: list[str]
    steps: list[list[str]]

    def unread(self, prompt: str) -> list[str]:
        """Give the marks that are not in a prompt, or stand before what was said earlier."""
        missing = [mark for mark in self.unordered_marks if mark not in prompt]
        at = 0
        for step in self.steps:
            places = {mark: prompt.find(mark, at) for mark in step}
            missing += [mark for mark, place in places.items() if place < 0]
            at = max([at, *places.values()])
        return missing


def marked(case: Case) -> Marked:
    """Give a case with a mark in each text that is more than white space."""
    count = itertools.count()
    unordered_marks: list[str] = []
    steps: list[list[str]] = []
    messages = []

    def mark(text: str, into: list[str]) -> str:
        if not text.strip():
            return text
        into.append(f"zq{next(count):03d}vx")
        blank = text[: len(text) - len(text.lstrip())]
        return f"{blank}{into[-1]} {text[len(blank) :]}"

    def into() -> list[str]:
        if opening:
            return unordered_marks
        if not in_round:
            steps.append([])
        return steps[-1]

    opening, in_round = True, False
    for message in case.messages:
        opening = opening and message["role"] in ("system", "developer")
        in_round = in_round and message["role"] == "tool"
        content = message.get("content")
        message = dict(message)
        if isinstance(content, str):
            message["content"] = mark(content, into())
        elif content:
            message["content"] = [
                {**part, key: mark(part[key], into())}
                for part in content
                for key in part.keys() & {"text", "refusal"}
            ]
        if calls := message.get("tool_calls"):
            steps.append([])
            in_round = True
            message["tool_calls"] = [_marked_call(call, mark, steps[-1]) for call in calls]
        messages.append(message)
    return Marked(messages, unordered_marks, steps)


def _marked_call(call: Any, mark: Callable[[str, list[str]], str], into: list[str]) -> Any:
    arguments = call["function"]["arguments"]
    try:
        value = _marked_leaves(json.loads(arguments), lambda text: mark(text, into))
        arguments = json.dumps(value, ensure_ascii=False)
    except ValueError:
        arguments = mark(arguments, into)  # no JSON: its text counts as it is
    return {**call, "function": {**call["function"], "arguments": arguments}}


def _marked_leaves(value: Any, mark: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return mark(value)
    if isinstance(value, list):
        return [_marked_leaves(item, mark) for item in value]
    if isinstance(value, dict):
        return {key: _marked_leaves(item, mark) for key, item in value.items()}
    return value
