"""Labels in client text, made inert: who types one must not pass for another."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from .change import Change
from .context import RepairContext, StepResult
from .labels import as_guard_text
from .turn import Turn

_WHY = "the text would pass for a label of the guard's"


def with_inert_labels(turns: list[Turn], context: RepairContext) -> StepResult:
    """Make inert what looks like a label in the texts of turns, but for the reply's opening."""
    form, labelled = context.label_form, context.labelled
    # A label has no line break, so that no separator with one can complete it.
    joined = "\n" not in context.separator
    made: list[Turn] = []
    changes: list[Change] = []
    for at, turn in enumerate(turns):
        is_prefill = context.prefill and at == len(turns) - 1 and turn.kind == "assistant"
        if not is_prefill:
            # The guard's own label opens what an endpoint has labelled.
            message = form.with_inert_text(turn.message, begin=at in labelled, joined=joined)
            if message is not turn.message:
                changes.append(turn.change("labels", _WHY))
                turn = turn._replace(message=message)
        made.append(turn)
    return StepResult(made, changes)


def writes_labels(turns: Sequence[Turn]) -> bool:
    """Return whether a label stands in any of these turns."""
    return any(turn.ends_labelled for turn in turns)


def with_own_labels(turns: Sequence[Turn], given: Collection[int]) -> list[Turn]:
    """Return the turns with texts that say that their labels are the guard's.

    Args:
        turns: The turns.
        given: The identities of the messages that are a client's own objects.
    """
    return [
        turn._replace(message=own)
        if (turn.labelled or turn.ends_labelled)
        and id(turn.message) not in given
        and (own := {**turn.message, "content": as_guard_text(turn.message.get("content"))})
        else turn
        for turn in turns
    ]
