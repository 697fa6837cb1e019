"""What the steps of a repair share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..profile.rules import Rules
from ..profile.states import Kind
from .change import Change
from .turn import Turn


@dataclass
class RepairContext:
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


def is_not_read(answers: Mapping[str, str], shape: str) -> bool:
    """Whether the template was asked about this shape and does not read it."""
    return answers.get(shape, "accepted") != "accepted"


def rejects_form(answers: Mapping[str, str], form: str) -> bool:
    """Whether content of this form is not taken of a kind of message."""
    # What holds for a user message holds for the kinds that were not asked about.
    known = form if form in answers else form.removeprefix("late ")
    return answers.get(known, answers.get("user", "accepted")) != "accepted"


def state_after(turns: Sequence[Turn], rules: Rules) -> str:
    """Give the state in which a conversation stands after these turns."""
    state = "start"
    for turn in turns:
        state = rules.after(state, turn.kind, ignored_empty=turn.ignored_empty)
    return state
