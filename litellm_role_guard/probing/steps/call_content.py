"""What may stand beside a tool call where the assistant said nothing, and what is shown of it."""

from __future__ import annotations

from ..asker import Asker, Step
from ..probe import TOOLS
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


def ask_call_names(asker: Asker) -> Step[None]:
    """Ask whether a call's name is shown, if not as such, then in its id.

    Two of the three conversations are none that was not asked before; the third is put only where
    the first does not show the name.
    """
    name = str(TOOLS[0]["function"]["name"])
    talks = [_call_with_id(None), ProbeBuilder("user", "assistant", "user")]
    shown, without = yield from asker.render(talks, ("call_names",))
    if shown is None or without is None or shown.count(name) > without.count(name):
        return
    (in_id,) = yield from asker.render([_call_with_id(f"functions.{name}:0")], ("call_names",))
    if in_id is not None and in_id.count(name) > without.count(name):
        asker.answers.update({("call_names",): "not_read"})


def _call_with_id(call_id: str | None) -> ProbeBuilder:
    return add_all(ProbeBuilder("user").call(1, call_id=call_id), _AFTER_CALL)
