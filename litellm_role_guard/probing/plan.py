"""The whole plan: the probes without tools, then those with tools where they matter."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from ..messages.message import Message
from ..profile.rules import Rules
from ..profile.template_profile import TemplateProfile
from .probe import Probe, Rendering, form_of, read_marks
from .rules_plan import rules_plan

ProbePlan = Generator[list[Probe], list[Rendering], TemplateProfile]


def probe_plan(*, tools: bool = True) -> ProbePlan:
    """Yield the questions in batches, take their readings, and return the profile they make.

    Args:
        tools: Whether to ask with tool definitions as well, where they matter.
    """
    asked: list[tuple[Probe, Rendering]] = []
    plain = yield from _noted(rules_plan(tools=False), asked)
    if not tools or not (yield from _is_changed(asked)):
        return TemplateProfile(**dict(plain))
    with_tools = yield from rules_plan(tools=True)
    return TemplateProfile(**dict(plain), with_tools=None if with_tools == plain else with_tools)


def _noted(
    plan: Generator[list[Probe], list[Rendering], Rules], asked: list[tuple[Probe, Rendering]]
) -> Generator[list[Probe], list[Rendering], Rules]:
    """Go through a course, and keep its questions with their readings."""
    try:
        batch = next(plan)
        while True:
            renderings = yield batch
            asked.extend(zip(batch, renderings, strict=True))
            batch = plan.send(renderings)
    except StopIteration as finished:
        rules: Rules = finished.value
        return rules


def _is_changed(
    asked: Sequence[tuple[Probe, Rendering]],
) -> Generator[list[Probe], list[Rendering], bool]:
    """Return whether tool definitions change what is read of any conversation.

    It is asked of one of each form, which are some 60 questions. Few templates have more to do with
    tools than to show them; of those that have, all is asked once more.
    """
    samples: list[tuple[Probe, Rendering]] = []
    seen: set[object] = set()
    for probe, rendering in asked:
        forms = _forms(probe, rendering)
        if not seen.issuperset(forms):
            seen.update(forms)
            samples.append((probe, rendering))
    renderings = yield [probe._replace(tools=True, profile_path=()) for probe, _ in samples]
    return any(
        read_marks(with_tools) != read_marks(plain)
        for with_tools, (_, plain) in zip(renderings, samples, strict=True)
    )


def _forms(probe: Probe, rendering: Rendering) -> set[object]:
    """Return what tells conversations apart where tools may matter: ends, and what follows what.

    Of one that is refused it cannot be told what it is refused for; its ends must do.
    """
    first, last = probe.messages[0], probe.messages[-1]
    ends = (rendering is None, form_of(first), form_of(last), len(probe.messages) == 1)
    if rendering is None:
        return {ends}
    said = [_rough_form_of(message) for message in probe.messages]
    return {ends, *zip([None, *said], [*said, None], strict=True)}


def _rough_form_of(message: Message) -> object:
    content, calls = message.get("content"), len(message.get("tool_calls", ()))
    return message["role"], calls, isinstance(content, list), bool(calls and content)
