"""The whole plan: the probes without tools, then those with tools where they matter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from ..messages.message import Message
from ..profile.template_profile import TemplateProfile
from .asker import Step
from .markers import thought_names, with_markers
from .probe import Probe, Rendering, form_of, read_marks
from .probe_builder import ProbeBuilder
from .rules_plan import rules_plan

ProbePlan = Step[TemplateProfile]
"""A generator that yields batches of probes, is sent their renderings, and returns the profile."""


def probe_plan(*, tools: bool = True) -> ProbePlan:
    """Yield probes in batches, take their renderings, and return the profile.

    Args:
        tools: Whether to probe with tool definitions as well, if they matter.
    """
    done: list[tuple[Probe, Rendering]] = []
    profile = yield from _recorded(_profile_plan(tools=tools), done)
    thoughts = yield from thought_names(with_markers(profile, done))
    return with_markers(profile, done, thoughts)


def _profile_plan(*, tools: bool) -> ProbePlan:
    done: list[tuple[Probe, Rendering]] = []
    plain = yield from _recorded(rules_plan(tools=False), done)
    if not tools or not (yield from _tools_matter(done)):
        return TemplateProfile(**dict(plain))
    with_tools = yield from rules_plan(tools=True)
    return TemplateProfile(**dict(plain), with_tools=None if with_tools == plain else with_tools)


_Result = TypeVar("_Result")


def _recorded(plan: Step[_Result], done: list[tuple[Probe, Rendering]]) -> Step[_Result]:
    """Run a plan, and add its probes with their renderings to `done`."""
    try:
        batch = next(plan)
        while True:
            renderings = yield batch
            done.extend(zip(batch, renderings, strict=True))
            batch = plan.send(renderings)
    except StopIteration as finished:
        result: _Result = finished.value
        return result


def _tools_matter(done: Sequence[tuple[Probe, Rendering]]) -> Step[bool]:
    """Return whether tool definitions change what is read of any conversation.

    One conversation of each form is rendered with tools, which makes some 60 probes. Few templates
    do more with tools than to show them. For those, the whole plan is run once more.

    Some put them into the first turn, and forget there who speaks, or an image. So two openings
    are compared as well: by the assistant and by the user, and with an image and without it.
    """
    samples: list[tuple[Probe, Rendering]] = []
    seen: set[object] = set()
    for probe, rendering in done:
        forms = _forms(probe, rendering)
        if not seen.issuperset(forms):
            seen.update(forms)
            samples.append((probe, rendering))
    openings = [
        *(ProbeBuilder(kind, "user").probe(False, ()) for kind in ("assistant", "user")),
        *(probe for probe, _ in done if probe.profile_path == ("media", "first user")),
    ]
    asked = [*(probe for probe, _ in samples), *openings]
    renderings = yield [probe._replace(tools=True, profile_path=()) for probe in asked]
    told = iter(renderings[len(samples) :])
    return any(
        one is not None and one == other for one, other in zip(told, told, strict=True)
    ) or any(
        read_marks(with_tools) != read_marks(plain)
        for with_tools, (_, plain) in zip(renderings, samples, strict=False)
    )


def _forms(probe: Probe, rendering: Rendering) -> set[object]:
    """Return what of a conversation tools may matter to: both ends, and each pair of neighbours.

    Of a refused one only the ends count, since nobody knows which message was refused.
    """
    first, last = probe.messages[0], probe.messages[-1]
    ends = (rendering is None, form_of(first), form_of(last), len(probe.messages) == 1)
    if rendering is None:
        return {ends}
    inner = [_rough_form_of(message) for message in probe.messages]
    return {ends, *zip([None, *inner], [*inner, None], strict=True)}


def _rough_form_of(message: Message) -> object:
    content, calls = message.get("content"), len(message.get("tool_calls", ()))
    return message["role"], calls, isinstance(content, list), bool(calls and content)
