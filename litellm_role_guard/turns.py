"""Turns on their way to the backend: a message, what it is to the template, and whence it came."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .conversation import Message, call_arguments, call_name, content_parts, part_text, tool_calls
from .profile import Kind, Rules

REASONING = ("reasoning", "reasoning_content")
"""Where an assistant's message keeps what it thought; the second one in older releases."""


class Change(NamedTuple):
    """One thing that a repair did.

    Attributes:
        what: `merged`, `system`, `developer`, `function`, `tools`, `content`, `filled`,
            `transcript`, `error`, `verify` or `unverified` of rendered results, or `bad_input`
            where mode observe lets a request pass.
        messages: The positions of the input messages concerned, counted from 0.
        why: The reason, in words that hold no message text.
    """

    what: str
    messages: tuple[int, ...]
    why: str


class Turn(NamedTuple):
    """A message on its way to the backend.

    Attributes:
        kind: What it is to the template.
        message: The message, the input's own object as long as it is unchanged.
        origins: The positions of the input messages that are in it.
        labelled: Whether its text begins with a label that tells who said it.
        folded: Whether the server joins its text to that of others at the front.
        passed: Whether it is empty and the template passes over it.
    """

    kind: Kind
    message: Message
    origins: tuple[int, ...]
    labelled: bool = False
    folded: bool = False
    passed: bool = False

    @classmethod
    def of(cls, message: Message, at: int) -> Turn:
        """Give the turn that a message of the input is.

        Args:
            message: The message.
            at: Its position.
        """
        kind: Kind = message["role"]
        if kind == "assistant" and message.get("tool_calls"):
            kind = "call"
        return cls(kind, message, (at,))


@dataclass
class Draft:
    """What the steps share: the rules and settings, and the list of what was changed."""

    rules: Rules
    separator: str
    placeholder: str
    prefill: bool
    changes: list[Change] = field(default_factory=list)

    def note(self, what: str, turn: Turn, why: str) -> None:
        """Add to the list of changes."""
        self.changes.append(Change(what, turn.origins, why))

    def filler(self, kind: Kind, where: Turn) -> Turn:
        """Invent a turn of this kind, next to another one."""
        takes_empty = self.rules.blank.get(kind, "accepted") == "accepted"
        text = self.placeholder or ("" if takes_empty else "...")
        self.note("filled", where, f"the template needs a {kind} turn here")
        return Turn(kind, {"role": kind, "content": text}, ())


def unread(answers: Mapping[str, str], shape: str) -> bool:
    """Whether the template was asked about this shape and does not read it."""
    return answers.get(shape, "accepted") != "accepted"


def takes_no(answers: Mapping[str, str], form: str) -> bool:
    """Whether content of this form is not taken of a kind of message."""
    # What holds for a user message holds for the kinds that were not asked about.
    known = form if form in answers else form.removeprefix("late ")
    return answers.get(known, answers.get("user", "accepted")) != "accepted"


def state_after(turns: Sequence[Turn], rules: Rules) -> str:
    """Give the state in which a conversation stands after these turns."""
    state = "start"
    for turn in turns:
        state = rules.after(state, turn.kind, passed=turn.passed)
    return state


def as_role(turn: Turn, role: Kind) -> Turn:
    """Give the same message in another role."""
    return Turn(role, {**turn.message, "role": role}, turn.origins)


def labelled_user(turn: Turn, label: str) -> Turn:
    """Make a user turn of a message, with a label that tells who said it before its text."""
    message = {
        key: value
        for key, value in turn.message.items()
        if key not in ("tool_call_id", "tool_calls", "function_call", "name", "tools")
    }
    content = join_contents([f"[{label}]", turn.message.get("content")], "\n")
    return Turn("user", {**message, "role": "user", "content": content}, turn.origins, True)


def written_out(turn: Turn, draft: Draft) -> Turn:
    """Write an assistant's tool calls as text of the same turn."""
    message = {
        key: value
        for key, value in turn.message.items()
        if key not in ("tool_calls", "function_call")
    }
    calls = list(tool_calls(turn.message))
    legacy = turn.message.get("function_call")
    if isinstance(legacy, Mapping):
        calls.append({"function": legacy})
    content = message.get("content")
    for call in calls:
        shown = f"[Tool call: {call_name(call)}]\n{call_arguments(call)}".rstrip()
        content = join_contents([content, shown], draft.separator)
    return Turn("assistant", {**message, "content": content}, turn.origins)


def joins(turns: Iterable[Turn]) -> Iterator[Change]:
    """Give the changes that turns are of which several messages were joined."""
    for turn in turns:
        if len(turn.origins) > 1:
            why = "two turns in a row that the template does not take"
            yield Change("merged", turn.origins, why)


def join(turns: Sequence[Turn], separator: str) -> Turn:
    """Join turns into one of the first one's kind; parts stay parts."""
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
    return Turn(first.kind, message, at, first.labelled, first.folded, first.passed)


def _join_others(message: dict[str, Any], turns: Sequence[Turn], separator: str) -> None:
    for key in REASONING:
        texts = [turn.message.get(key) for turn in turns]
        said = [text for text in texts if text and isinstance(text, str)]
        if said:
            message[key] = separator.join(said)
    if len({turn.message.get("name") for turn in turns}) > 1:
        message.pop("name", None)  # or one would be given what another said


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
            parts.append({"type": "text", "text": text})
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


def _part(part: Any) -> Any:
    return {"type": "text", "text": part} if isinstance(part, str) else part
