"""Learning a profile from an oracle that answers at once, such as a local template."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TypeVar

from ..profile.template_profile import TemplateProfile
from ..template.chat_template import ChatTemplate
from ..template.errors import TemplateRefused
from .plan import probe_plan
from .probe import TOOLS, Probe, Rendering

_Result = TypeVar("_Result")


def learn_from_template(template: ChatTemplate) -> TemplateProfile:
    """Learn a profile from a local template; this takes some hundred short renderings."""
    renderings: dict[str, Rendering] = {}

    def read(probe: Probe) -> Rendering:
        # Several probes may have the same conversation.
        key = repr((probe.messages, probe.tools, probe.prefill))
        if key not in renderings:
            try:
                renderings[key] = rendered(template, probe)
            except TemplateRefused:
                renderings[key] = None
        return renderings[key]

    return learn(read, tools=template.reads_tools)


def rendered(template: ChatTemplate, probe: Probe) -> str:
    """Return the prompt that a local template makes of a probe.

    Raises:
        TemplateRefused: It refuses the conversation.
    """
    return template.render(
        probe.messages,
        tools=TOOLS if probe.tools else None,
        add_generation_prompt=not probe.prefill,
        continue_final_message=probe.prefill,
    )


def learn(read: Callable[[Probe], Rendering], *, tools: bool = True) -> TemplateProfile:
    """Learn a profile from any oracle that renders one probe at a time.

    Args:
        read: The oracle.
        tools: Whether tool definitions may change its renderings.
    """
    return run_plan(probe_plan(tools=tools), read)


def run_plan(
    plan: Generator[list[Probe], list[Rendering], _Result], read: Callable[[Probe], Rendering]
) -> _Result:
    """Run a plan, or a part of one, and return its result.

    Args:
        plan: The probes.
        read: The oracle.
    """
    try:
        batch = next(plan)
        while True:
            batch = plan.send([read(probe) for probe in batch])
    except StopIteration as finished:
        result: _Result = finished.value
        return result
