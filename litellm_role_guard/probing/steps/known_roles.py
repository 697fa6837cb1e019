"""Roles that a template only prints, without knowing them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...profile.states import STATES, SYSTEM_KINDS, Kind, after
from ...template.control_role import is_printed_alike, opens_as_at_front
from ..answers import Path
from ..asker import Asker, Step
from ..control import control_of
from ..probe import Rendering, judge, marks_in
from ..probe_builder import FIRST_MARK, ProbeBuilder

_MAYBE_UNKNOWN: tuple[Kind, ...] = ("tool", "function", *SYSTEM_KINDS)
"""Kinds that a template may print without knowing their role."""


def ask_whether_known(
    asker: Asker, questions: Mapping[Path, Sequence[ProbeBuilder]], at: int
) -> Step[None]:
    """Ask each accepted question once more in a role that nobody knows.

    An answer becomes `unknown` where the prompt is the same but for the name of the role.

    Args:
        asker: Has asked the questions, and keeps the answers.
        questions: The questions; the last key of each path is the kind of message asked about.
        at: The position of that message.
    """
    asked = [
        (path, builder)
        for path, builders in questions.items()
        if path[-1] in _MAYBE_UNKNOWN and asker.answers.is_accepted(*path)
        for builder in builders
    ]
    if not asked:
        return
    builders = [builder for _, builder in asked]
    renderings = yield from asker.render(builders)  # known already
    proved: dict[Path, tuple[ProbeBuilder, Rendering]] = {}
    for (path, builder), rendering in zip(asked, renderings, strict=True):
        if judge(rendering, builder.marks, builder.unordered_marks) == "accepted":
            proved.setdefault(path, (builder, rendering))
    fronts: dict[str, ProbeBuilder] = {kind: ProbeBuilder(kind, "user") for kind in SYSTEM_KINDS}
    controls = yield from asker.render(
        [*(control_of(builder, at) for builder, _ in proved.values()), *fronts.values()]
    )
    at_front = dict(zip(fronts, controls[len(proved) :], strict=True))
    for (path, (builder, rendering)), control in zip(proved.items(), controls, strict=False):
        kind, mark = path[-1], marks_in(str(builder.messages[at]["content"]))[0]
        if is_printed_alike(rendering, control, kind) and not opens_as_at_front(
            rendering, mark, at_front.get(kind), FIRST_MARK, kind
        ):
            asker.answers.update({path: "unknown"})


def make_rounds_whole(asker: Asker) -> None:
    """Take no tool call where its result would stand in a turn that nobody knows."""
    for state in STATES:
        call = ("follows", state, "call")
        result = ("follows", after(state, "call"), "tool")
        if asker.answers.is_accepted(*call) and asker.answers.get(*result) == "unknown":
            asker.answers.update({call: "unknown"})
