"""Stricter and stricter profiles, for a conversation that a template did not accept."""

from __future__ import annotations

from collections.abc import Iterator

from .refusals import Refusal, read_refusal, teach
from .rules import Rules
from .states import KINDS, STATES, SYSTEM_RUNS
from .template_profile import TemplateProfile

_AFTER_LOSS = tuple(map(Refusal, ("no_tools", "system_place", "system_role")))
"""What to learn from a text that is not in the prompt: calls and results are the likeliest not to
be shown, then system text."""


def stricter_profiles(profile: TemplateProfile, fault: str) -> Iterator[TemplateProfile]:
    """Yield stricter and stricter profiles for a conversation that the template did not accept.

    Args:
        profile: What the template was thought to accept.
        fault: The fault, as `rendering_fault` returns it.
    """
    refusal = read_refusal(fault) if fault else None
    for lesson in [refusal] if refusal is not None else _AFTER_LOSS:
        while (taught := teach(profile, lesson)) is not profile:
            profile = taught
            yield profile
    yield _transcript()


def _transcript() -> TemplateProfile:
    """Return the profile of a template that reads nothing but one user turn."""
    nothing = Rules().forbid(STATES, KINDS)
    nothing["start"] = {**nothing["start"], "user": "accepted"}
    return TemplateProfile(
        leading_system=dict.fromkeys(SYSTEM_RUNS, "refused"),
        follows=nothing,
        ends=dict.fromkeys((state for state in STATES if state != "user"), "refused"),
        without_user={"leading_system": "refused", "assistant": "refused"},
        developer_then_system="refused",
        parts=dict.fromkeys(("system", "developer", "assistant", "tool"), "refused"),
    )
