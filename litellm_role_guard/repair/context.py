"""What the steps of a repair share, and what each of them returns."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..profile.states import Kind
from .change import Change
from .control_tokens import Markers
from .labels import DEFAULT_FORM, LabelForm
from .policy import RepairPolicy
from .turn import Turn


@dataclass(frozen=True)
class RepairContext:
    """What the steps go by.

    Attributes:
        policy: What the template needs.
        separator: What stands between the texts of joined messages.
        placeholder: The text of an invented turn; empty for what the policy says.
        prefill: Whether the last message is the opening of the reply.
        labelled: The positions of messages whose text begins with a label.
        label_form: How labels are written.
        markers: What is made inert wherever it would be read as a marker of a turn.
    """

    policy: RepairPolicy
    separator: str
    placeholder: str
    prefill: bool
    labelled: Collection[int] = ()
    label_form: LabelForm = DEFAULT_FORM
    markers: Markers | None = None

    def filler(self, kind: Kind, beside: Turn) -> tuple[Turn, Change]:
        """Return an invented turn of this kind, and its record at the turn beside it."""
        text = self.placeholder or self.policy.fillers[kind]
        why = f"the template needs a {kind} turn here"
        return Turn(kind, {"role": kind, "content": text}, ()), beside.change("filled", why)


class StepResult(NamedTuple):
    """What a step makes of the turns, and what it changed."""

    turns: list[Turn]
    changes: list[Change]


Step = Callable[[list[Turn], RepairContext], StepResult]


def run_steps(steps: Iterable[Step], turns: list[Turn], context: RepairContext) -> StepResult:
    """Return what the steps make of the turns, one after the other."""
    changes: list[Change] = []
    for step in steps:
        turns, changed = step(turns, context)
        changes += changed
    return StepResult(turns, changes)


def state_after(turns: Sequence[Turn], policy: RepairPolicy) -> str:
    """Return the state in which a conversation stands after these turns."""
    state = "start"
    for turn in turns:
        state = policy.after(state, turn.kind, ignored_empty=turn.ignored_empty)
    return state
