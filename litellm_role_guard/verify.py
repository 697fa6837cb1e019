"""A repaired conversation rendered before it is sent: does the template take and read all of it?

A profile foresees the shapes of a conversation, and not what stands in it. With a local template
at hand a rendering tells for sure, at the cost of that rendering.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .conversation import Message, call_name, tool_calls
from .profile import FRONTS, KINDS, STATES, Rules, TemplateProfile
from .reading import said
from .refusals import Refusal, read_refusal, teach
from .template import ChatTemplate, TemplateRefused

_AFTER_LOSS = tuple(map(Refusal, ("no_tools", "system_place", "system_role")))
"""What to learn from a text that is not in the prompt: calls and results are the likeliest not to
be shown, then system text."""


def fault_of(
    template: ChatTemplate,
    meant: Sequence[Message],
    sent: Sequence[Message],
    *,
    tools: Sequence[Mapping[str, Any]] | None = None,
    prefill: bool = False,
) -> str | None:
    """Give what a template would do wrong with a conversation; None where it reads all of it.

    Args:
        template: The template.
        meant: The client's own messages. Texts and names of called tools are looked for, without
            the blanks around them, which a template may strip; media leave no trace in a prompt.
        sent: What they were made into.
        tools: The request's tool definitions.
        prefill: Whether the last message is the opening of the reply.

    Returns:
        The words of its refusal, or "" where it leaves a text out.
    """
    try:
        prompt = template.render(
            sent, tools=tools, add_generation_prompt=not prefill, continue_final_message=prefill
        )
    except TemplateRefused as refusal:
        return str(refusal)
    return None if all(_is_in(prompt, text) for text in _looked_for(meant)) else ""


def _is_in(prompt: str, text: str) -> bool:
    # Templates write a tool's result, among others, as JSON or as Python writes it.
    return text in prompt or any(
        written[1:-1] in prompt
        for written in (json.dumps(text, ensure_ascii=False), json.dumps(text), repr(text))
    )


def stepped_down(profile: TemplateProfile, fault: str) -> Iterator[TemplateProfile]:
    """Give stricter and stricter profiles for a conversation that the template did not take.

    Args:
        profile: What was thought that it takes.
        fault: As given by `fault_of`.
    """
    refusal = read_refusal(fault) if fault else None
    for lesson in [refusal] if refusal is not None else _AFTER_LOSS:
        while (taught := teach(profile, lesson)) is not profile:
            profile = taught
            yield profile
    yield _transcript()


def _looked_for(messages: Sequence[Message]) -> Iterator[str]:
    for message in messages:
        yield from said(message)
        for call in tool_calls(message):
            yield call_name(call)


def _transcript() -> TemplateProfile:
    """Give the profile of a template that reads nothing but one user turn."""
    nothing = Rules().forbid(STATES, KINDS)
    nothing["start"] = {**nothing["start"], "user": "accepted"}
    return TemplateProfile(
        front=dict.fromkeys(FRONTS, "refused"),
        follows=nothing,
        ends=dict.fromkeys((state for state in STATES if state != "user"), "refused"),
        without_user={"front": "refused", "assistant": "refused"},
        developer_then_system="refused",
        parts=dict.fromkeys(("system", "developer", "assistant", "tool"), "refused"),
    )
