"""Messages written out as labelled text: who said it, or which tool was called.

A label is a line of its own in square brackets. What stands behind it is what it names, until the
next label or the end of the turn. So whatever is joined behind labelled text has a label as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..messages.message import call_arguments, call_name, plain_text, tool_calls
from ..profile.states import Kind
from .turn import Turn, join_contents

_NOT_OF_TEXT = ("tool_call_id", "tool_calls", "function_call", "name", "tools")


def labelled(turn: Turn, label: str, role: Kind) -> Turn:
    """Return a turn with the message's text behind a label that says whose it is."""
    message = {key: value for key, value in turn.message.items() if key not in _NOT_OF_TEXT}
    content = join_contents([f"[{label}]", turn.message.get("content")], "\n")
    return Turn(
        role, {**message, "role": role, "content": content}, turn.origins, True, ends_labelled=True
    )


def labelled_user(turn: Turn, label: str) -> Turn:
    """Return a user turn with the message's text behind a label that says whose it is."""
    return labelled(turn, label, "user")


def message_label(turn: Turn) -> str:
    """Return the label of a message: its kind, and its speaker's name where it has one."""
    kind, name = turn.kind.capitalize(), _speaker(turn)
    return f"{kind} message: {name}" if name else f"{kind} message"


def tool_calls_as_text(turn: Turn, separator: str) -> Turn:
    """Return the turn with its tool calls written as text, after the text that it has."""
    message = {
        key: value
        for key, value in turn.message.items()
        if key not in ("tool_calls", "function_call")
    }
    calls = list(tool_calls(turn.message))
    legacy = turn.message.get("function_call")
    if isinstance(legacy, Mapping):
        calls.append({"function": legacy})
    names = list(_told_names(calls))
    shown = [
        f"[Tool call: {name}]\n{call_arguments(call)}".rstrip()
        for name, call in zip(names, calls, strict=True)
    ]
    content = join_contents([message.get("content"), *shown], separator)
    return Turn(
        "assistant",
        {**message, "content": content},
        turn.origins,
        labelled=not plain_text(turn.message),
        ends_labelled=True,
        written_calls={
            call.get("id"): name for name, call in zip(names, calls, strict=True) if call.get("id")
        },
    )


def _told_names(calls: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the names of the called tools; those of one tool called twice with a number."""
    counts = Counter(map(call_name, calls))
    numbers: Counter[str] = Counter()
    for name in map(call_name, calls):
        numbers[name] += 1
        yield f"{name} #{numbers[name]}" if counts[name] > 1 else name


def told_apart(before: Turn, turn: Turn) -> Turn:
    """Return a turn that can be joined behind another one without passing for its words.

    Behind labelled text it gets a label, and behind words of another name the names of both. The
    first one's name can only stand behind its words: what was sent without it must not change.

    Args:
        before: The turn before it.
        turn: A turn of the same role.
    """
    above, below = (None if each.labelled else _speaker(each) for each in (before, turn))
    if not turn.labelled and (before.ends_labelled or above != below):
        turn = labelled(turn, message_label(turn), turn.kind)
    if above is None or above == below:
        return turn
    content = join_contents([f"[End of message: {above}]", turn.message.get("content")], "\n")
    return turn._replace(message={**turn.message, "content": content})


def _speaker(turn: Turn) -> str | None:
    name = turn.message.get("name")
    return name if isinstance(name, str) and name else None
