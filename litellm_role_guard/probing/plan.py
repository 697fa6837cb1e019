"""The whole plan: the probes without tools, then those with tools where they matter."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from ..messages.message import Message
from ..profile.rules import Rules
from ..profile.template_profile import TemplateProfile
from .probe import Question, Reading, form_of, read_marks
from .rules_plan import rules_plan

Course = Generator[list[Question], list[Reading], TemplateProfile]


def questions(*, tools: bool = True) -> Course:
    """Give the questions in batches, take their readings, and return the profile they make.

    Args:
        tools: Whether to ask with tool definitions as well, where they matter.
    """
    asked: list[tuple[Question, Reading]] = []
    plain = yield from _noted(rules_plan(tools=False), asked)
    if not tools or not (yield from _is_changed(asked)):
        return TemplateProfile(**dict(plain))
    armed = yield from rules_plan(tools=True)
    return TemplateProfile(**dict(plain), with_tools=None if armed == plain else armed)


def _noted(
    course: Generator[list[Question], list[Reading], Rules], asked: list[tuple[Question, Reading]]
) -> Generator[list[Question], list[Reading], Rules]:
    """Go through a course, and keep its questions with their readings."""
    try:
        batch = next(course)
        while True:
            readings = yield batch
            asked.extend(zip(batch, readings, strict=True))
            batch = course.send(readings)
    except StopIteration as finished:
        rules: Rules = finished.value
        return rules


def _is_changed(
    asked: Sequence[tuple[Question, Reading]],
) -> Generator[list[Question], list[Reading], bool]:
    """Tell whether tool definitions change what is read of any conversation.

    It is asked of one of each form, which are some 60 questions. Few templates have more to do with
    tools than to show them; of those that have, all is asked once more.
    """
    samples: list[tuple[Question, Reading]] = []
    seen: set[object] = set()
    for question, reading in asked:
        forms = _forms(question, reading)
        if not seen.issuperset(forms):
            seen.update(forms)
            samples.append((question, reading))
    readings = yield [question._replace(tools=True, decides=()) for question, _ in samples]
    return any(
        read_marks(armed) != read_marks(plain)
        for armed, (_, plain) in zip(readings, samples, strict=True)
    )


def _forms(question: Question, reading: Reading) -> set[object]:
    """Tell conversations apart by where tools may matter: both ends, and what follows on what.

    Of one that is refused it cannot be told what it is refused for; its ends must do.
    """
    first, last = question.messages[0], question.messages[-1]
    ends = (reading is None, form_of(first), form_of(last), len(question.messages) == 1)
    if reading is None:
        return {ends}
    said = [_rough_form_of(message) for message in question.messages]
    return {ends, *zip([None, *said], [*said, None], strict=True)}


def _rough_form_of(message: Message) -> object:
    content, calls = message.get("content"), len(message.get("tool_calls", ()))
    return message["role"], calls, isinstance(content, list), bool(calls and content)
