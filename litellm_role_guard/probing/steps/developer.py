"""Developer messages beside a system message, before the last turn, and empty."""

from __future__ import annotations

from ..answers import Answers
from ..asker import Questions
from ..probe_builder import ProbeBuilder, add_all, on_path


def developer_questions(answers: Answers) -> Questions:
    """Return what to ask about developer messages."""
    system = ("system",) if answers.is_accepted("leading_system", "system") else ()
    after_user = on_path((*system, "user")).say("developer", "")
    after_assistant = on_path((*system, "user", "assistant")).say("developer", "")
    # Some templates look for a call's results in the messages right behind it.
    within_round = on_path((*system, "user", "call")).say("developer", "")
    return {
        ("developer_then_system",): [
            ProbeBuilder("developer", "user", "system", "user"),
            ProbeBuilder("developer", "user", "assistant", "system", "user"),
        ],
        ("developer_then_empty",): [
            add_all(ProbeBuilder("developer", "user").say("system", ""), ("user",)),
            ProbeBuilder("developer", "user").say("system", ""),
        ],
        ("developer_before_last",): [ProbeBuilder("user", "assistant", "developer", "user")],
        ("empty_developer", "user"): [add_all(after_user, ("assistant", "user"))],
        ("empty_developer", "assistant"): [add_all(after_assistant, ("user",))],
        **(
            {("empty_developer", "call"): [add_all(within_round, ("tool", "assistant", "user"))]}
            if answers.is_accepted("follows", "user", "call")
            else {}
        ),
    }
