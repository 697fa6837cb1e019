"""Turns on their way to the backend: messages, their kinds and the positions they came from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from ..messages.message import Message, content_parts, part_text
from ..profile.states import Kind
from .change import Change

REASONING = ("reasoning", "reasoning_content")
"""The keys of an assistant message's reasoning; the second one is of older releases."""


NO_CALLS: Mapping[object, str] = MappingProxyType({})


class Turn(NamedTuple):
    """A message on its way to the backend.

    Attributes:
        kind: What it is to the template.
        message: The message, the input's own object as long as it is unchanged.
        origins: The positions of the input messages that are in it.
        labelled: Whether its text begins with a label that tells who said it.
        merged_by_server: Whether the server joins its text to that of others at the front.
        ignored_empty: Whether it is empty and the template passes over it.
        ends_labelled: Whether its text ends with what stands behind a label.
        written_calls: The tool calls that were written out in it: the name of each by its id.
    """

    kind: Kind
    message: Message
    origins: tuple[int, ...]
    labelled: bool = False
    merged_by_server: bool = False
    ignored_empty: bool = False
    ends_labelled: bool = False
    written_calls: Mapping[object, str] = NO_CALLS

    @classmethod
    def of(cls, message: Message, at: int, *, labelled: bool = False) -> Turn:
        """Return the turn of a message of the input.

        Args:
            message: The message.
            at: Its position.
            labelled: Whether its text begins with a label, as the client's endpoint has it.
        """
        kind: Kind = message["role"]
        if kind == "assistant" and message.get("tool_calls"):
            kind = "call"
        return cls(kind, message, (at,), labelled=labelled, ends_labelled=labelled)

    def change(self, what: str, why: str) -> Change:
        """Return the record of a change to this turn, as in `Change`."""
        return Change(what, self.origins, why)


def as_role(turn: Turn, role: Kind) -> Turn:
    """Return the same message in another role."""
    return Turn(role, {**turn.message, "role": role}, turn.origins)


def merge_changes(turns: Iterable[Turn]) -> Iterator[Change]:
    """Yield a change for each turn that holds several messages."""
    for turn in turns:
        if len(turn.origins) > 1:
            why = "two turns in a row that the template does not take"
            yield Change("merged", turn.origins, why)


def join(turns: Sequence[Turn], separator: str) -> Turn:
    """Merge turns into one of the first one's kind; parts stay parts."""
    first = turns[0]
    if len(turns) == 1:
        return first
    contents: list[Any] = []
    origins: list[int] = []
    plain = True  # a role and a content, and nothing else
    for turn in turns:
        contents.append(turn.message.get("content"))
        origins += turn.origins
        plain = plain and len(turn.message) == 2
    message = {**first.message, "content": join_contents(contents, separator)}
    if not plain:
        _join_others(message, turns, separator)
    at = tuple(dict.fromkeys(origins))
    return Turn(
        first.kind,
        message,
        at,
        first.labelled,
        first.merged_by_server,
        first.ignored_empty,
        turns[-1].ends_labelled,
        {call_id: name for turn in turns for call_id, name in turn.written_calls.items()},
    )


def _join_others(message: dict[str, Any], turns: Sequence[Turn], separator: str) -> None:
    for key in REASONING:
        texts = [turn.message.get(key) for turn in turns]
        said = [text for text in texts if text and isinstance(text, str)]
        if said:
            message[key] = separator.join(said)


def join_contents(contents: Sequence[Any], separator: str) -> Any:
    """Join contents with a boundary between the texts that meet."""
    said = [content for content in contents if content]
    if len(said) < 2:
        return said[0] if said else ""
    if set(map(type, said)) == {str}:
        return separator.join(said)
    parts: list[Any] = []
    meeting: list[Any] = []  # text parts of different messages that have nothing between them

    def close_meeting() -> None:
        if len(meeting) > 1:
            text = separator.join(part_text(part) or "" for part in meeting)
            parts.append({"type": _text_type(meeting), "text": text})
        else:
            parts.extend(_part(part) for part in meeting)
        meeting.clear()

    for content in said:
        for position, part in enumerate(content_parts({"content": content})):
            if position > 0 or part_text(part) is None:
                close_meeting()
            if part_text(part) is None:
                parts.append(part)
            else:
                meeting.append(part)
    close_meeting()
    return parts


def _text_type(parts: Sequence[Any]) -> str:
    """Return `input_text` where one of the parts is of that type: /v1/responses takes no other."""
    types = {part.get("type") for part in parts if not isinstance(part, str)}
    return "input_text" if "input_text" in types else "text"


def _part(part: Any) -> Any:
    return {"type": "text", "text": part} if isinstance(part, str) else part
