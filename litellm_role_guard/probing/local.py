"""Learning a profile from an oracle that answers at once, such as a local template."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TypeVar

from ..profile.template_profile import TemplateProfile
from ..template.chat_template import ChatTemplate
from ..template.errors import TemplateRefused
from .plan import questions
from .probe import TOOLS, Question, Reading

_Result = TypeVar("_Result")


def learn_from_template(template: ChatTemplate) -> TemplateProfile:
    """Learn a profile from a local template, at the cost of some hundred short renderings."""

    readings: dict[str, Reading] = {}

    def read(question: Question) -> Reading:
        # One conversation may answer several questions.
        asked = repr((question.messages, question.tools))
        if asked not in readings:
            try:
                tools = TOOLS if question.tools else None
                readings[asked] = template.render(question.messages, tools=tools)
            except TemplateRefused:
                readings[asked] = None
        return readings[asked]

    return learn(read, tools=template.reads_tools)


def learn(read: Callable[[Question], Reading], *, tools: bool = True) -> TemplateProfile:
    """Learn a profile from any oracle that answers one question at a time.

    Args:
        read: The oracle.
        tools: Whether it may answer otherwise when tool definitions are given.
    """
    return answered(questions(tools=tools), read)


def answered(
    course: Generator[list[Question], list[Reading], _Result], read: Callable[[Question], Reading]
) -> _Result:
    """Go through a course, or a part of one, and give what it comes to.

    Args:
        course: The questions.
        read: The oracle.
    """
    try:
        batch = next(course)
        while True:
            batch = course.send([read(question) for question in batch])
    except StopIteration as finished:
        result: _Result = finished.value
        return result
