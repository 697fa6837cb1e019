"""Messages written out as labelled text: who said it, or which tool was called.

What stands behind a label is what it names, until the next label or the end of the turn. So
whatever is joined behind labelled text has a label as well. The grammar is that of `labels.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..messages.message import call_arguments, call_name, plain_text, tool_calls
from ..profile.states import KINDS, Kind
from .context import RepairContext
from .labels import LabelForm
from .turn import Turn, join_contents

_NOT_OF_TEXT = ("tool_call_id", "tool_calls", "function_call", "name", "tools")


def labelled(turn: Turn, label: str, role: Kind) -> Turn:
    """Return a turn with the message's text behind a label that says whose it is."""
    message = {key: value for key, value in turn.message.items() if key not in _NOT_OF_TEXT}
    content = join_contents([label, turn.message.get("content")], "\n")
    return Turn(
        role, {**message, "role": role, "content": content}, turn.origins, True, ends_labelled=True
    )


def labelled_user(turn: Turn, label: str) -> Turn:
    """Return a user turn with the message's text behind a label that says whose it is."""
    return labelled(turn, label, "user")


def message_words(turn: Turn) -> str:
    """Return what a message's label says: its kind, where it is no role of the template's own."""
    kind = "assistant" if turn.kind == "call" else turn.kind
    return f"{kind.capitalize() if kind in KINDS else 'Other'} message"


def message_label(turn: Turn, form: LabelForm) -> str:
    """Return the label of a message: its kind, and its speaker's name where it has one."""
    return form.label(message_words(turn), form.clean(turn.message.get("name")))


def tool_calls_as_text(turn: Turn, context: RepairContext) -> Turn:
    """Return the turn with its tool calls written as text, after the text that it has."""
    form = context.label_form
    message = {
        key: value
        for key, value in turn.message.items()
        if key not in ("tool_calls", "function_call")
    }
    calls = list(tool_calls(turn.message))
    legacy = turn.message.get("function_call")
    if isinstance(legacy, Mapping):
        calls.append({"function": legacy})
    names = list(_told_names(calls, form))
    shown = [
        f"{form.label('Tool call', name)}\n{form.inert(call_arguments(call))}".rstrip()
        for name, call in zip(names, calls, strict=True)
    ]
    content = join_contents([message.get("content"), *shown], context.separator)
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


def _told_names(calls: Sequence[Mapping[str, Any]], form: LabelForm) -> Iterator[str]:
    """Yield the names of the called tools; those of one tool called twice with a number."""
    names = [form.clean(call_name(call)) for call in calls]
    counts = Counter(names)
    numbers: Counter[str] = Counter()
    for name in names:
        numbers[name] += 1
        yield f"{name} #{numbers[name]}" if counts[name] > 1 else name


def told_apart(before: Turn, turn: Turn, form: LabelForm) -> Turn:
    """Return a turn that can be joined behind another one without passing for its words.

    Behind labelled text it gets a label, and behind words of another name the names of both. The
    first one's name can only stand behind its words: what was sent without it must not change.

    Args:
        before: The turn before it.
        turn: A turn of the same role.
        form: How labels are written.
    """
    above, below = (None if each.labelled else _speaker(each) for each in (before, turn))
    if not turn.labelled and (before.ends_labelled or above != below):
        turn = labelled(turn, message_label(turn, form), turn.kind)
    if above is None or above == below:
        return turn
    end = form.label("End of message", form.clean(above))
    content = join_contents([end, turn.message.get("content")], "\n")
    return turn._replace(message={**turn.message, "content": content})


def _speaker(turn: Turn) -> str | None:
    name = turn.message.get("name")
    return name if isinstance(name, str) and name else None
