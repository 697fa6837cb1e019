"""Markers of turns in client text: found, or broken by an invisible character."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from operator import is_
from typing import Any, NamedTuple

from ..messages.inert_mark import INERT_MARK
from ..messages.message import TEXT_KEYS, Message, content_parts, part_text
from ..profile.template_profile import MAX_CHARS, TemplateProfile
from .labels import GuardText

WHY = "the text would be read as a marker of the template's turns"

_SEAM = MAX_CHARS
"""Characters behind a text that may complete a marker: as many as the longest one has."""


class Markers(NamedTuple):
    """What client text must not hold, compiled once for a profile.

    Attributes:
        anywhere: Finds every marker.
        reply: Finds those that open or close a turn. A reply may hold calls in words.
        begins: The characters with which they begin.
    """

    anywhere: re.Pattern[str] | None
    reply: re.Pattern[str] | None
    begins: tuple[str, ...]

    @classmethod
    def of(cls, profile: TemplateProfile) -> Markers:
        """Return the markers of a profile."""
        turns, rounds = profile.turn_markers, profile.round_markers
        begins = tuple({marker[0] for marker in (*turns, *rounds)})
        return cls(_pattern((*turns, *rounds)), _pattern(turns), begins)

    def first_in(self, messages: Sequence[Message]) -> int | None:
        """Return the position of the first message with a marker; None if there is none."""
        changed = self.inert(messages)
        return next((at for at, each in enumerate(changed) if each is not messages[at]), None)

    def inert(self, messages: Sequence[Message]) -> list[Message]:
        """Return messages without a marker in any text, name, id or argument.

        A message without one is the same object. Texts that only together make a marker, of
        two parts or messages, count as one.
        """
        made: list[Message] = []
        tail = ""
        for message in reversed(messages):
            content = message.get("content")
            if type(content) is str and len(message) == 2 and not self._may_begin_in(content):
                made.append(message)  # as most are
                tail = (content.lstrip()[:_SEAM] + tail)[:_SEAM]
                continue
            is_reply = message["role"] == "assistant"
            pattern = self.reply if is_reply else self.anywhere
            changed = {
                key: self.escaped(value, pattern if is_reply and key != "tool_calls" else None)
                for key, value in message.items()
                if key not in ("role", "content") and value
            }
            content, tail = self._content(message, pattern, tail)
            if content is not message.get("content"):
                changed["content"] = content
            if any(message[key] is not value for key, value in changed.items()):
                message = {**message, **changed}
            made.append(message)
        return made[::-1]

    def _may_begin_in(self, text: str) -> bool:
        return any(map(text.__contains__, self.begins))

    def escaped(self, value: Any, pattern: re.Pattern[str] | None = None) -> Any:
        """Return JSON-like data without a marker in any text or key of it; itself if it has none.

        Raises:
            RecursionError: It is nested hundreds of levels deep.
        """
        pattern = pattern or self.anywhere
        if isinstance(value, str):
            return _escaped(value, pattern)
        if isinstance(value, Mapping):
            fields = {
                _escaped(key, pattern): self._field(key, each, pattern)
                for key, each in value.items()
            }
            is_same = (
                len(fields) == len(value)
                and all(map(is_, fields, value))
                and all(map(is_, fields.values(), value.values()))
            )
            return value if is_same else fields
        if isinstance(value, (list, tuple)):
            entries = [self.escaped(each, pattern) for each in value]
            return value if all(map(is_, entries, value)) else entries
        return value

    def _field(self, key: str, value: Any, pattern: re.Pattern[str] | None) -> Any:
        if key == "arguments" and isinstance(value, str):
            return self._arguments(value, pattern)
        return self.escaped(value, pattern)

    def _arguments(self, written: str, pattern: re.Pattern[str] | None) -> str:
        """Return arguments without a marker in them, however their JSON writes it."""
        try:
            read = json.loads(written)
        except ValueError:
            return _escaped(written, pattern)
        made = self.escaped(read, pattern)
        # A name that stands twice is read once, and the first value would be printed all the same.
        is_same = made is read and _escaped(written, pattern) is written
        return written if is_same else json.dumps(made, ensure_ascii=False)

    def _content(
        self, message: Message, pattern: re.Pattern[str] | None, tail: str
    ) -> tuple[Any, str]:
        """Return a message's content without a marker, and its first characters."""
        content = message.get("content")
        if not content:
            return content, tail
        if isinstance(content, str):
            whole = _escaped(content, pattern, tail)
            return whole, (whole.lstrip() + tail)[:_SEAM]
        made: list[Any] = []
        for part in reversed(content_parts(message)):
            text = part_text(part)
            if text is not None:
                inert = _escaped(text, pattern, tail)
                tail = (inert.lstrip() + tail)[:_SEAM]
                part = part if inert is text else _with_text(part, inert)
            made.append(part)
        made.reverse()
        return (content if all(map(is_, made, content)) else made), tail


def _with_text(part: Any, text: str) -> Any:
    return {**part, TEXT_KEYS[part["type"]]: text} if isinstance(part, Mapping) else text


@lru_cache(maxsize=256)
def _pattern(markers: tuple[str, ...]) -> re.Pattern[str] | None:
    """Return a pattern that finds the first character of each marker."""
    if not markers:
        return None
    by_first: dict[str, list[str]] = {}
    for marker in markers:
        by_first.setdefault(marker[0], []).append(re.escape(marker[1:]))
    forms = (f"{re.escape(first)}(?={'|'.join(rest)})" for first, rest in by_first.items())
    return re.compile("|".join(forms))


def _escaped(text: str, pattern: re.Pattern[str] | None, tail: str = "") -> str:
    """Return a text without a marker in it, nor one that what follows would complete."""
    if pattern is None:
        return text
    end = len(text.rstrip())
    whole = text[:end] + tail.lstrip() if tail else text
    places = [found.end() for found in pattern.finditer(whole) if found.start() < len(text)]
    if not places:
        return text
    pieces = [text[begin:at] for begin, at in zip([0, *places], [*places, len(text)], strict=True)]
    made = INERT_MARK.join(pieces)
    return GuardText(made) if isinstance(text, GuardText) else made
