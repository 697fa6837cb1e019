"""System text that a template moves to the front."""

from __future__ import annotations

from ...profile.states import SYSTEM_KINDS, Kind
from ..answers import Answers
from ..asker import Asker, Step
from ..probe_builder import ProbeBuilder

_FRAMES = ("user * assistant user", "user assistant * user")
"""Conversations with `*` where the system text stands."""


def ask_hoisting(asker: Asker) -> Step[None]:
    """Ask for which kinds the text is found before all other text."""
    yield from asker.ask(
        {
            ("hoisted_kinds", kind, frame): [
                ProbeBuilder(*frame.replace("*", kind).split()).moved(kind)
            ]
            for kind in SYSTEM_KINDS
            for frame in _FRAMES
        }
    )


def hoisted_kinds(answers: Answers) -> list[Kind]:
    """Return the kinds whose text is moved to the front from wherever it stands."""
    return [
        kind
        for kind in SYSTEM_KINDS
        if all(answers.is_accepted("hoisted_kinds", kind, frame) for frame in _FRAMES)
    ]
