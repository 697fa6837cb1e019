"""Errors that a client keeps as the assistant's words, taken out before the model reads them.

A client that shows an error where the answer would stand sends it along with the next message, and
the model takes it for something that it has said. The first match of a pattern is where the error
begins: what stands before it, half an answer, say, is kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import regex

from ..messages.message import TEXT_KEYS, Message, is_empty, part_text
from .change import Change

SEARCHED_CHARS = 4000
"""How much of a text a pattern of the user's own is shown."""


SEARCH_SECONDS = 0.01
"""How long a pattern of the user's own may take for a text. One that backtracks without end on some
text is not tried again in this conversation."""


PATTERNS: tuple[re.Pattern[str], ...] = (
    # LiteLLM's Playground: this and the error's JavaScript name, right behind what has come of the
    # answer (1.106, `ChatUI.tsx`: updateTextUI("assistant", "Error fetching response:" + error)).
    re.compile(r"Error fetching response:(?=\w{0,60}Error\b)"),
    # Its first versions; those in between kept no error.
    re.compile(r"Error fetching model response\s{0,9}\Z"),
    # Earlier ones of Open WebUI, in place of the answer; today's keep it beside the content.
    re.compile(
        r"\A\s{0,9}Uh-oh! There was an issue (?:connecting to [^\n]{1,200}?|with the response)\."
    ),
)
"""How the errors begin that known clients keep, in English."""


_WHY = "the client keeps an error as the assistant's words"


class WithoutErrors(NamedTuple):
    """A conversation without its errors.

    Attributes:
        messages: The very list that was given where there were none.
        origins: By message: its position in what was given.
        changes: What was taken out.
    """

    messages: Sequence[Message]
    origins: Sequence[int]
    changes: tuple[Change, ...] = ()


def without_errors(
    messages: Sequence[Message], own: Sequence[str] = (), *, prefill: bool = False
) -> WithoutErrors:
    """Take the errors out of the assistant's messages, and the messages that hold nothing else.

    Each message is judged by itself, so that a conversation that grows keeps its beginning.

    Args:
        messages: A conversation in which `find_validation_error` finds none. It is not changed.
        own: Further patterns: regular expressions that match where an error begins. They are shown
            the first `SEARCHED_CHARS` of a text.
        prefill: Whether the last message is the opening of the reply, to be left alone.
    """
    patterns = [regex.compile(pattern) for pattern in own]  # which it remembers
    kept: list[Message] = []
    origins: list[int] = []
    changes: list[Change] = []
    for index, message in enumerate(messages):
        spoken = message["role"] == "assistant" and not (prefill and index == len(messages) - 1)
        cut = _cut(message, patterns) if spoken else message
        if cut is not message:
            changes.append(Change("error", (index,), _WHY))
        if cut is message or not is_empty(cut):
            kept.append(cut)
            origins.append(index)
    if not changes or all(map(is_empty, kept)):
        return WithoutErrors(messages, range(len(messages)))
    return WithoutErrors(kept, origins, tuple(changes))


def _cut(message: Message, own: list[regex.Pattern[str]]) -> Message:
    """Return a message up to where its error begins; the same object where there is none."""
    content = message.get("content")
    if isinstance(content, str):
        text = _before_error(content, own)
        return message if text == content else {**message, "content": text or None}
    parts: Sequence[Any] = content or ()
    for position, part in enumerate(parts):
        text = part_text(part) or ""
        before = _before_error(text, own)
        if before != text:
            rest = [_with_text(part, before)] if before else []
            return {**message, "content": [*parts[:position], *rest] or None}
    return message


MAX_CUTS = 8
"""How many errors in a row, at the end of one text, are cut off. Each pass reads all of the text,
and a client may send one that is nothing else."""


def _before_error(text: str, own: list[regex.Pattern[str]]) -> str:
    for _ in range(MAX_CUTS):
        end = _beginning(text, own)
        if end == len(text):
            break
        text = text[:end]  # in which a pattern that looks at the end may match now
    return text


def _beginning(text: str, own: list[regex.Pattern[str]]) -> int:
    known = (pattern.search(text) for pattern in PATTERNS)
    found = [match.start() for match in known if match is not None]
    for pattern in tuple(own):
        try:
            match = pattern.search(text, 0, SEARCHED_CHARS, timeout=SEARCH_SECONDS)
        except TimeoutError:
            own.remove(pattern)
            continue
        if match is not None:
            found.append(match.start())
    return min(found, default=len(text))


def _with_text(part: Any, text: str) -> Any:
    return {**part, TEXT_KEYS[part["type"]]: text} if isinstance(part, Mapping) else text
