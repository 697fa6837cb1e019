"""Which questions a course is about to put, found out by going through it with guesses.

A course builds questions on earlier answers, and so has a hundred batches, each of which would be a
trip to a live oracle. Here it is gone through from its beginning, with a guess for each answer that
is not there yet, and what it asks on the way is put to the oracle together. With the answers it is
gone through once more, until nothing is guessed any more: some six trips. A guess that is wrong
costs questions that nobody needed, one in ten on real templates, and never changes an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Generic, NamedTuple, TypeVar

from .learn import Question, Reading, questions
from .profile import TemplateProfile

AT_ONCE = 48
"""How many questions are put together, about. The more there are, the more are guessed in vain; the
fewer, the more trips it takes."""

_Key = TypeVar("_Key", bound=Hashable)


class Outlook(NamedTuple, Generic[_Key]):
    """How far a course has come.

    Attributes:
        unknown: What to ask next, by its key; nothing when the course is over.
        answered: What was asked so far, with the answers, in the order of the course.
        profile: What the course came to; None before it is over.
    """

    unknown: dict[_Key, Question]
    answered: list[tuple[Question, Reading]]
    profile: TemplateProfile | None


def look_ahead(
    readings: Mapping[_Key, Reading], key: Callable[[Question], _Key], *, tools: bool = True
) -> Outlook[_Key]:
    """Go through a course as far as what is known and guessed leads.

    Args:
        readings: What is known, by the question's key.
        key: Gives the key of a question, the same for questions that have the same answer.
        tools: Whether to ask all of them with tool definitions as well.
    """
    unknown: dict[_Key, Question] = {}
    answered: list[tuple[Question, Reading]] = []
    course = questions(tools=tools)
    try:
        batch = next(course)
        while len(unknown) < AT_ONCE:
            given: list[Reading] = []
            for question in batch:
                at = key(question)
                if at in readings:
                    answered.append((question, readings[at]))
                    given.append(readings[at])
                else:
                    unknown[at] = question
                    given.append(_guess(question, readings, key))
            batch = course.send(given)
    except StopIteration as over:
        return Outlook(unknown, answered, None if unknown else over.value)
    return Outlook(unknown, answered, None)


def _guess(
    question: Question, readings: Mapping[_Key, Reading], key: Callable[[Question], _Key]
) -> Reading:
    """Guess that tool definitions change nothing, and else that all is read."""
    at = key(question._replace(tools=False)) if question.tools else None
    return readings[at] if at is not None and at in readings else " ".join(question.marks)
