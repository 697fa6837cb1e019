"""Roles that a template only prints, without knowing them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...profile.states import BEFORE_TURNS, STATES, SYSTEM_KINDS, after
from ...template.control_role import CONTROL_ROLE, is_printed_alike, opens_as_at_front
from ..answers import Path
from ..asker import Asker, Step
from ..probe import Rendering, judge, marks_in, same_rendering
from ..probe_builder import FIRST_MARK, ProbeBuilder

_CONTROLS: dict[str, str] = {
    "assistant": "user",
    **dict.fromkeys(("tool", "function", *SYSTEM_KINDS), CONTROL_ROLE),
}
"""The role of the control, by the kind of message. The assistant's words may pass for the user's
at the front, where a template takes whatever comes first for these, and then perhaps everywhere:
some print the texts alone."""


def ask_whether_known(
    asker: Asker, questions: Mapping[Path, Sequence[ProbeBuilder]], at: int
) -> Step[None]:
    """Ask each accepted question once more in a role that nobody knows, or another one's.

    An answer becomes `unknown` where the prompt is the same but for the name of the role.

    Args:
        asker: Has asked the questions, and keeps the answers.
        questions: The questions; the last key of each path is the kind of message asked about.
        at: The position of that message.
    """
    proved = yield from _proofs(asker, questions)
    if not proved:
        return
    fronts: dict[str, ProbeBuilder] = {kind: ProbeBuilder(kind, "user") for kind in SYSTEM_KINDS}
    in_control_role = [
        _in_control_role(builder, at, _CONTROLS[path[-1]]) for path, (builder, _) in proved.items()
    ]
    controls = yield from asker.render([*in_control_role, *fronts.values()])
    at_front = dict(zip(fronts, controls[len(proved) :], strict=True))
    for (path, (builder, rendering)), control in zip(proved.items(), controls, strict=False):
        kind, mark = path[-1], marks_in(str(builder.messages[at]["content"]))[0]
        if kind == "assistant":
            is_unknown = same_rendering(rendering, control)
        else:
            is_unknown = is_printed_alike(rendering, control, kind) and not opens_as_at_front(
                rendering, mark, at_front.get(kind), FIRST_MARK, kind
            )
        if is_unknown:
            asker.answers.update({path: "unknown"})


def _proofs(
    asker: Asker, questions: Mapping[Path, Sequence[ProbeBuilder]]
) -> Step[dict[Path, tuple[ProbeBuilder, Rendering]]]:
    """Return the conversation that was accepted for each path, with its rendering.

    They are put in the order in which they were asked, so that none is a new question.
    """
    may_tell_none_apart = asker.answers.get("follows", "start", "assistant") == "unknown"
    left = {
        path: list(builders)
        for path, builders in questions.items()
        if path[-1] in _CONTROLS
        and (path[-1] != "assistant" or path[1] in BEFORE_TURNS or may_tell_none_apart)
        and asker.answers.is_accepted(*path)
    }
    proved: dict[Path, tuple[ProbeBuilder, Rendering]] = {}
    while left:
        batch = {path: builders.pop(0) for path, builders in left.items()}
        renderings = yield from asker.render(list(batch.values()))
        for (path, builder), rendering in zip(batch.items(), renderings, strict=True):
            if judge(rendering, builder.marks, builder.unordered_marks) == "accepted":
                proved[path] = builder, rendering
        left = {
            path: builders for path, builders in left.items() if builders and path not in proved
        }
    return proved


def _in_control_role(builder: ProbeBuilder, at: int, role: str) -> ProbeBuilder:
    """Return the same conversation with the message at a position in another role."""
    control = ProbeBuilder(unordered_marks=builder.unordered_marks)
    control.marks = builder.marks
    control.messages = [
        {**message, "role": role} if position == at else message
        for position, message in enumerate(builder.messages)
    ]
    return control


def make_rounds_whole(asker: Asker) -> None:
    """Take no tool call where its result would not be read, or in a turn that nobody knows."""
    for state in STATES:
        call = ("follows", state, "call")
        answer = asker.answers.get("follows", after(state, "call"), "tool")
        if asker.answers.is_accepted(*call) and answer is not None:
            asker.answers.update({call: answer})
