"""A course is foreseen: the same answers, in a few trips and with few questions in vain."""

from __future__ import annotations

from pathlib import Path

import pytest

from litellm_role_guard import ChatTemplate
from litellm_role_guard.probing.evidence import Witness
from litellm_role_guard.probing.probe import TOOLS, Question, Reading
from litellm_role_guard.probing.speculation import look_ahead
from litellm_role_guard.template.errors import TemplateRefused
from tests.real_templates import REAL, name

STRICT = Path(__file__).parents[1] / "litellm_role_guard" / "simulator" / "strict.jinja"
OWN = [*sorted((Path(__file__).parent / "templates").glob("*.jinja")), STRICT]


def key(question: Question) -> str:
    """Tell questions apart."""
    return repr((question.messages, question.tools))


@pytest.mark.parametrize("path", [*OWN, *REAL], ids=name)
def test_what_is_foreseen_is_what_is_asked_one_by_one(path: Path) -> None:
    """The profile and the questions that count are those of the course itself; it takes ten trips
    at most, and few more questions than the course has."""
    template = ChatTemplate.from_path(path)

    def read(question: Question) -> Reading:
        try:
            return template.render(question.messages, tools=TOOLS if question.tools else None)
        except TemplateRefused:
            return None

    readings: dict[str, Reading] = {}
    trips = 0
    while True:
        outlook = look_ahead(readings, key, tools=template.reads_tools)
        if outlook.profile is not None:
            break
        trips += 1
        assert not set(outlook.unknown) & set(readings)
        readings |= {at: read(question) for at, question in outlook.unknown.items()}
    witness = Witness()
    assert outlook.profile == witness.learn(template)
    assert outlook.answered == list(witness.readings)
    assert trips <= 10
    assert len(readings) <= 1.6 * len({key(question) for question, _ in outlook.answered})


def test_a_course_that_is_not_over_has_no_profile() -> None:
    """A guess is never taken for an answer."""
    outlook = look_ahead({}, key)
    assert outlook.unknown
    assert outlook.answered == []
    assert outlook.profile is None
