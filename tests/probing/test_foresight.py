"""A course is foreseen: the same answers, in a few trips and with few questions in vain."""

from __future__ import annotations

from pathlib import Path

import pytest

from litellm_role_guard import ChatTemplate
from litellm_role_guard.probing.evidence import ProbeRecorder
from litellm_role_guard.probing.local import rendered
from litellm_role_guard.probing.probe import Probe, Rendering
from litellm_role_guard.probing.speculation import speculate
from litellm_role_guard.template.errors import TemplateRefused
from testing.real_templates import REAL, name
from testing.size import some
from testing.templates import OURS

OWN = OURS


def key(probe: Probe) -> str:
    """Tell questions apart."""
    return repr((probe.messages, probe.tools, probe.prefill))


@pytest.mark.parametrize("path", some([*OWN, *REAL]), ids=name)
def test_what_is_foreseen_is_what_is_asked_one_by_one(path: Path) -> None:
    """The profile and the questions that count are those of the course itself; it takes fourteen
    trips at most, and few more questions than the course has."""
    template = ChatTemplate.from_path(path)

    def read(probe: Probe) -> Rendering:
        try:
            return rendered(template, probe)
        except TemplateRefused:
            return None

    renderings: dict[str, Rendering] = {}
    trips = 0
    while True:
        outlook = speculate(renderings, key, tools=template.reads_tools)
        if outlook.profile is not None:
            break
        trips += 1
        assert not set(outlook.unknown) & set(renderings)
        renderings |= {at: read(probe) for at, probe in outlook.unknown.items()}
    recorder = ProbeRecorder()
    assert outlook.profile == recorder.learn(template)
    assert outlook.answered == list(recorder.renderings)
    assert trips <= 14
    assert len(renderings) <= 1.6 * len({key(probe) for probe, _ in outlook.answered})


def test_a_course_that_is_not_over_has_no_profile() -> None:
    """A guess is never taken for an answer."""
    outlook = speculate({}, key)
    assert outlook.unknown
    assert outlook.answered == []
    assert outlook.profile is None
