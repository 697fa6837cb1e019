"""The grammar of labels, and how client text is kept from writing one.

    label  = opening, words, [": ", name], [" #", number], closing
    name   = one line of printable characters, none of them a bracket or `#`

A label tells who said what stands behind it, up to the next label or the end of the turn; what
stands before a turn's first label is the turn's own. Only the guard writes labels: in client text
an invisible character behind the opening makes what looks like one inert, and names are cleaned.
So every label in a turn is the guard's, wherever in a line it stands (docs/security.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from ..messages.inert_mark import INERT_MARK
from ..messages.message import TEXT_KEYS, Message, content_parts, part_text

_ITEM = "Item: "

WORDS: tuple[str, ...] = (
    "System message",
    "Developer message",
    "User message",
    "Assistant message",
    "Tool message",
    "Function message",
    "Other message",
    "Tool result",
    "Function result",
    "Tool call",
    "End of message",
    "Media of ",
    _ITEM,
)
"""How labels begin. An end of a message names its speaker, where that could only come late; an item
is one of /v1/responses that no backend knows."""

MAX_NAME = 128
"""Characters of a name that a label shows; OpenAI's own names have 64 at most."""

NOT_IN_NAMES = "[]<>{}|\uff5c#"
"""Brackets, what markers of turns are made of, and the sign before a number."""

MAX_OPENING = 8

SEAM = 32
"""Characters behind a part that may complete a label; the longest opening and words have fewer."""


class GuardText(str):
    """Text whose labels the guard has written, as `markupsafe.Markup` has tags that are meant.

    So a repaired conversation needs no further repair. It is lost on the wire: what a client sends
    is a client's.
    """

    __slots__ = ()


class LabelForm(NamedTuple):
    """How labels are written.

    Attributes:
        opening: What stands before the words.
        closing: What stands behind them.
    """

    opening: str = "["
    closing: str = "]"

    def label(self, words: str, name: str | None = None) -> str:
        """Return a label.

        Args:
            words: What it says; they begin with one of `WORDS`.
            name: A name that was cleaned.
        """
        told = f"{words}: {name}" if name else words
        return f"{self.opening}{told}{self.closing}"

    def clean(self, name: object) -> str:
        """Return a name as a label may hold it; an empty string for what is no name."""
        if not isinstance(name, str):
            return ""
        banned = NOT_IN_NAMES + self.opening + self.closing
        kept = (c if c.isprintable() and c not in banned else " " for c in name[:MAX_NAME])
        return " ".join("".join(kept).split())

    def inert(self, text: str) -> str:
        """Return a text in which nothing is a label."""
        return _pattern(self.opening).sub(_marked, text)

    def is_in(self, messages: Iterable[Message]) -> bool:
        """Return whether texts hold what looks like a label; sometimes True where none does."""
        search = _pattern(self.opening).search
        return any(
            search("".join(filter(None, map(part_text, content_parts(message)))))
            for message in messages
        )

    def with_inert_text(self, message: Message, *, begin: int = 0, joined: bool = False) -> Message:
        """Return a message in whose texts nothing is a label; the same object where nothing is.

        Args:
            message: The message.
            begin: Where its first text may hold a label of the guard's own.
            joined: Whether its last text may be joined to another one on the same line.
        """
        changed: dict[str, Any] = {}
        content, refusal = message.get("content"), message.get("refusal")
        tail = ""
        if isinstance(refusal, str) and refusal:
            changed["refusal"] = self._inert_piece(refusal, "", joined=joined)
            joined = False
        if isinstance(content, str):
            if not isinstance(content, GuardText):
                changed["content"] = content[:begin] + self._inert_piece(
                    content[begin:], "", joined=joined
                )
        elif content:
            parts: list[Any] = []
            for at, part in reversed(list(enumerate(content_parts(message)))):
                text = part_text(part)
                if text is None or isinstance(text, GuardText):
                    parts.append(part)
                    continue
                kept = text[:begin] if at == 0 else ""
                text = kept + self._inert_piece(text[len(kept) :], tail, joined=joined)
                parts.append(_with_text(part, text))
                tail, joined = (text + tail)[:SEAM], False
            changed["content"] = parts[::-1]
        if all(message.get(key) == value for key, value in changed.items()):
            return message
        return {**message, **changed}

    def _inert_piece(self, text: str, tail: str, *, joined: bool) -> str:
        """Return a text that stands before another one without anything that is a label."""
        whole = self.inert(text + tail)
        made = whole[: len(whole) - len(tail)]
        return self._with_inert_end(made) if joined else made

    def _with_inert_end(self, text: str) -> str:
        """Return a text that cannot be the beginning of a label that another one ends."""
        at = text.rfind(self.opening[0], max(0, len(text) - SEAM))
        if at < 0 or not any((self.opening + words).startswith(text[at:]) for words in WORDS):
            return text
        return text[: at + 1] + INERT_MARK + text[at + 1 :]


DEFAULT_FORM = LabelForm()


def _marked(match: re.Match[str]) -> str:
    return match[0] + INERT_MARK


@lru_cache(maxsize=64)
def _pattern(opening: str) -> re.Pattern[str]:
    # The first character alone is consumed, so that the mark stands right behind it. It is a
    # literal, which `re` looks for at the speed of memory.
    rest = re.escape(opening[1:])
    label = f"{re.escape(opening[0])}(?={rest}(?:{'|'.join(WORDS)}))"
    # An endpoint labels items before anybody knows the form: they have the default one always.
    return re.compile(label if opening == "[" else rf"{label}|\[(?={_ITEM})")


def _with_text(part: Any, text: str) -> Any:
    if part_text(part) == text:
        return part
    return {**part, TEXT_KEYS[part["type"]]: text} if isinstance(part, Mapping) else text


def as_guard_text(content: Any) -> Any:
    """Return content whose labels are the guard's own."""
    if isinstance(content, str):
        return GuardText(content)
    parts: Sequence[Any] = content or ()
    return [
        part if (text := part_text(part)) is None else _with_guard_text(part, text)
        for part in parts
    ]


def _with_guard_text(part: Any, text: str) -> Any:
    own = GuardText(text)
    return {**part, TEXT_KEYS[part["type"]]: own} if isinstance(part, Mapping) else own
