"""The rules that the answers of the probes come to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..profile.rules import Answer, Rules
from .answers import Answers
from .probe import rank
from .steps.hoisting import hoisted_kinds
from .steps.ignored_empty import ignored_empty


def rules_from(answers: Answers) -> Rules:
    """Return the rules: each answer at its path, except where several answers decide one entry."""
    derived: dict[str, Any] = {
        "without_user": without_user(answers),
        "ignored_empty": ignored_empty(answers),
        "hoisted_kinds": hoisted_kinds(answers),
        "developer_before_last": developer_before_last(answers),
        "empty_developer": worst(answers.below("empty_developer").values()),
        "late_results": late_results(answers),
    }
    return Rules(**{**answers.as_tree(), **derived})


def without_user(answers: Answers) -> dict[str, Answer]:
    """Return the answers about conversations without a user turn that prove something.

    An answer counts only if the same messages are read once a user turn follows them.
    """
    leads = "system" if answers.is_accepted("leading_system", "system") else "developer"
    controls = {
        "leading_system": ("leading_system", leads),
        "several_systems": ("leading_system", "system system"),
        "assistant": ("without_user", "opened"),
        "led_assistant": ("without_user", "led_opened"),
        "call": ("follows", "start", "call"),
        "tool": ("follows", "start", "tool"),
    }
    return {
        name: answer
        for name, answer in answers.below("without_user").items()
        if name in controls and answers.is_accepted(*controls[name])
    }


def developer_before_last(answers: Answers) -> Answer:
    """Return whether a developer message is read right before the last user turn only.

    `not_read` if developer messages are read elsewhere, too: then the place explains nothing.
    """
    if answers.get("follows", "user", "developer") in ("accepted", "unknown"):
        return "not_read"
    return answers.get("developer_before_last") or "not_read"


def late_results(answers: Answers) -> Answer:
    """Return the worse answer about results in a later turn; `not_read` if no calls are read."""
    found = answers.below("late_results")
    return worst(found.values()) if found else "not_read"


def worst(answers: Iterable[Answer]) -> Answer:
    """Return the worst answer: `refused` before `not_read` before `accepted`."""
    return min(answers, key=rank)
