"""What may stand beside a tool call where the assistant said nothing."""

from __future__ import annotations

from ..asker import Asker, Step
from ..probe_builder import ProbeBuilder, add_all

_AFTER_CALL = ("tool", "assistant", "user")


def ask_call_content(asker: Asker) -> Step[None]:
    """Ask whether null may stand beside a call; if only an empty string may, ask all calls so.

    A refusal of null must not pass for one of the call: some templates read
    `{"content": "", "tool_calls": [...]}` and refuse the same with null.
    """
    null, blank = ("null", "call"), ("blank", "call")
    answers = yield from asker.try_out(
        {
            null: [add_all(ProbeBuilder("user").call(1), _AFTER_CALL)],
            blank: [add_all(ProbeBuilder("user").call(1, content=""), _AFTER_CALL)],
        }
    )
    if answers[null] != "accepted" == answers[blank]:
        asker.answers.update({null: answers[null], blank: answers[blank]})
        asker.call_content = ""
