"""What a chat holds beside the task, a stopped question and what is said after it."""

from __future__ import annotations

from typing import NamedTuple


class Step(NamedTuple):
    """A step of a chat.

    Attributes:
        name: What it is.
        says: What the user says in it.
    """

    name: str
    says: str


COMPACTION = Step("compaction", "Which words were there, for the last time?")
HALF_REPLY = Step("half reply", "Never mind that. Which words were there, at once?")
HAND_OVER = Step("hand over", "Let the checker say which words there were.")
LATE_INSTRUCTION = Step("late instruction", "Which words were there, in one line?")
REGENERATE = Step("regenerate", "Which words were there, in other words?")
