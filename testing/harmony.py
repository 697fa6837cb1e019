"""What a prompt of Harmony says, and in whose turn."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

_TURN = re.compile(
    r"<\|start\|>(?P<author>[^<]*)(?:<\|channel\|>[^<]*)?<\|message\|>(?P<text>.*?)<\|(?:end|call)\|>",
    re.DOTALL,
)
_MARK = re.compile(r"zq\d{3}vx")
_AUTHORS = {
    "system": "developer",  # so vLLM says what a client's system message does
    "developer": "developer",
    "user": "user",
    "assistant": "assistant",
}


class Turn(NamedTuple):
    """A turn of a prompt.

    Attributes:
        author: Who speaks, and to whom: `assistant to=functions.weather` calls a tool, and
            `functions.weather` answers.
        text: What is said.
    """

    author: str
    text: str


def turns(prompt: str) -> list[Turn]:
    """Give a prompt's turns, but for the one that the model is to write."""
    return [Turn(found["author"], found["text"]) for found in _TURN.finditer(prompt)]


def misplaced(prompt: str, messages: Sequence[Mapping[str, Any]]) -> list[str]:
    """Give the marks of messages that do not stand once, in a turn of the role or of the tool."""
    said = turns(prompt)
    return [
        f"{mark} is said by {authors}, not by {author!r}"
        for mark, author in _expected(messages)
        if (authors := [turn.author for turn in said if mark in turn.text]) != [author]
    ]


def _expected(messages: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    tools: dict[str, str] = {}
    for message in messages:
        author = _AUTHORS.get(message["role"])
        if author is None:
            answered = message.get("tool_call_id", "")
            author = f"functions.{tools.get(answered, 'a tool that was called')}"
        for mark in _MARK.findall(str(message.get("content"))):
            yield mark, author
        for call in message.get("tool_calls") or ():
            function = call["function"]
            tools[call["id"]] = function["name"]
            for mark in _MARK.findall(function["arguments"]):
                yield mark, f"assistant to=functions.{function['name']}"
