"""Several late system messages, of which a template may show only one."""

from __future__ import annotations

from ...profile.states import BEFORE_TURNS, STATES
from ..answers import Path
from ..asker import Asker, Step
from ..probe_builder import ProbeBuilder

_LATE_STATES = [state for state in STATES if state not in BEFORE_TURNS]


def ask_late_systems(asker: Asker) -> Step[None]:
    """Ask whether several late system messages are all read where a single one is.

    If not, which of them is read depends on what comes later. Then none is taken where it stands.
    """
    answers = asker.answers
    if not answers.is_accepted("follows", "assistant", "system"):
        return
    turns = ("user", "assistant", "system")
    conversations = [ProbeBuilder(*turns, *turns, "user")]
    if answers.is_accepted("leading_system", "system"):
        conversations.append(ProbeBuilder("system", *turns, *turns, "user", unordered_marks=1))
    if answers.is_accepted("follows", "assistant+system", "system"):
        conversations.append(ProbeBuilder(*turns, "system", "user"))
    questions: dict[Path, list[ProbeBuilder]] = {
        ("follows", "assistant+system", f"several {at}"): [conversation]
        for at, conversation in enumerate(conversations)
    }
    found = yield from asker.try_out(questions)
    if all(answer == "accepted" for answer in found.values()):
        return
    answers.update(
        {
            ("follows", state, "system"): "not_read"
            for state in _LATE_STATES
            if answers.is_accepted("follows", state, "system")
        }
    )
