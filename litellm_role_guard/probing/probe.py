"""A probe: a conversation whose texts are marks, and the judgement of its rendering."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from ..messages.message import Message
from ..profile.rules import Answer

TOOLS: tuple[dict[str, Any], ...] = (
    {
        "type": "function",
        "function": {
            "name": "look_up",
            "description": "Look a word up.",
            "parameters": {
                "type": "object",
                "properties": {"word": {"type": "string", "description": "The word."}},
                "required": ["word"],
            },
        },
    },
)


class Probe(NamedTuple):
    """A conversation whose texts are marks.

    Attributes:
        messages: The conversation, to be rendered for a reply.
        marks: Its texts and tool arguments, in order.
        tools: Whether tool definitions go with it.
        unordered_marks: How many of the first marks may stand anywhere in the prompt.
        profile_path: The field of the rules that the answer decides, then the keys in it; empty if
            it decides none.
        prefill: Whether the last message is the opening of the reply.
    """

    messages: list[Message]
    marks: list[str]
    tools: bool
    unordered_marks: int = 0
    profile_path: tuple[str, ...] = ()
    prefill: bool = False


_MARK = re.compile(r"zq\d\dvx")

_SOURCE_CODE = re.compile(_MARK.pattern + r"""(?:\\n"|(?:\\n|\s)+(?:\\"|&))""")
"""A mark whose line break or quote is written as in source code: a list printed as it is, say."""


_EMPTY_PART = re.compile(r"""(["'])type\1: *(["'])text\2, *(["'])text\3: *(["'])\4""")
"""An empty part of a list that is printed as it is; it holds no mark."""


Rendering = str | None
"""The prompt that the oracle rendered; None if it refused."""


def same_rendering(one: Rendering, other: Rendering) -> bool:
    """Return whether two renderings are the same, but for the blanks around them."""
    if one is None or other is None:
        return one is other
    # Some tokenizers drop blanks at the beginning of a text, and the separator adds some.
    return one.strip() == other.strip()


def form_of(message: Message) -> tuple[Any, ...]:
    """Return what servers and templates go by: role, kind of content, number of calls."""
    content = message.get("content")
    calls = len(message.get("tool_calls", ()))
    return message["role"], type(content).__name__, content == "", calls


def marks_in(rendering: str) -> list[str]:
    """Return the marks that stand in a text, in order."""
    return _MARK.findall(rendering)


def read_marks(rendering: Rendering) -> list[str] | None:
    """Return the marks that stand in a rendering, in order; None for a refusal."""
    return None if rendering is None else marks_in(rendering)


def judge(rendering: Rendering, marks: Sequence[str], unordered_marks: int = 0) -> Answer:
    """Return the answer: `accepted` if all marks are found as text, each after the one before.

    Args:
        rendering: The prompt, or None for a refusal.
        marks: The marks to look for, in order.
        unordered_marks: How many of the first ones may stand anywhere.
    """
    if rendering is None:
        return "refused"
    if not all(mark in rendering for mark in marks[:unordered_marks]):
        return "not_read"
    if _SOURCE_CODE.search(rendering) or _EMPTY_PART.search(rendering):
        return "not_read"
    at = 0
    for mark in marks[unordered_marks:]:
        found = rendering.find(mark, at)
        if found < 0:
            return "not_read"
        at = found + len(mark)
    return "accepted"


def rank(answer: Answer | None) -> int:
    """Return a number that is higher for a better answer; -1 for none."""
    return -1 if answer is None else ("refused", "not_read", "unknown", "accepted").index(answer)
