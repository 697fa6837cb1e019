"""A handful of conversations tells a template from every other one with another profile."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from litellm_role_guard import ChatTemplate, TemplateProfile
from litellm_role_guard.probing.local import rendered
from litellm_role_guard.probing.probe import Probe, Rendering
from litellm_role_guard.probing.telling import TELLING, Signs
from litellm_role_guard.template.errors import TemplateRefused
from testing.learnt import learnt
from testing.real_templates import REAL, name
from testing.size import SIZE
from testing.templates import OURS

ALL = OURS if SIZE == "quick" else [*OURS, *REAL]


def signs_of(template: ChatTemplate, change: Callable[[str], str] = str) -> Signs:
    """Return what a template makes of the telling conversations, its prompts changed."""

    def read(probe: Probe) -> Rendering:
        try:
            return change(rendered(template, probe))
        except TemplateRefused:
            return None

    return Signs(tuple(map(read, TELLING)))


def without_media(profile: TemplateProfile) -> TemplateProfile:
    """Return the profile of a template that is asked about text alone."""
    untold: dict[str, Any] = {"media": {}, "media_with_system": "accepted"}
    tools = profile.with_tools and profile.with_tools.model_copy(update=untold)
    return profile.model_copy(update={**untold, "with_tools": tools})


@cache
def signs_at(path: Path) -> Signs:
    """Return what the template at a path makes of them."""
    return signs_of(learnt(path)[0])


@pytest.mark.parametrize("path", ALL, ids=name)
def test_a_template_bears_its_own_profile_out(path: Path) -> None:
    """Else it would be learnt anew at each restart."""
    assert signs_at(path).bear_out(learnt(path)[1])


def test_templates_with_different_profiles_are_told_apart() -> None:
    """By what stands in the prompts, whatever they do with images, about which nothing is asked."""
    mistaken = [
        (name(one), name(other))
        for one, other in combinations(ALL, 2)
        if without_media(learnt(one)[1]) != without_media(learnt(other)[1])
        and signs_at(one).fingerprint == signs_at(other).fingerprint
    ]
    assert mistaken == []


def test_a_profile_of_another_template_is_not_borne_out_by_answers_alone() -> None:
    """Where somebody wrote the right fingerprint beside a wrong profile."""
    strict, plain = (path for path in OURS if path.stem in ("alternating", "plain"))
    assert not signs_at(strict).bear_out(learnt(plain)[1])
    assert not signs_at(plain).bear_out(learnt(strict)[1])


def test_what_stands_before_the_conversation_does_not_count() -> None:
    """A template may write the date there, which is another one at the next restart."""
    template = learnt(OURS[0])[0]
    one = signs_of(template, lambda text: f"1 May {text}")
    other = signs_of(template, lambda text: f"2 May {text}")
    assert one.renderings != other.renderings
    assert one.fingerprint == other.fingerprint


def test_a_difference_within_the_conversation_counts() -> None:
    """Even where every text is read as before."""
    template = learnt(OURS[0])[0]
    assert signs_of(template).fingerprint != signs_of(template, lambda text: text + "!").fingerprint
