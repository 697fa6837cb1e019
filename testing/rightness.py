"""Whether what a template reads is read as what it was, judged by renderings alone."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from litellm_role_guard.messages.message import has_media, is_empty, plain_text
from litellm_role_guard.probing.probe import TOOLS
from litellm_role_guard.profile.states import SYSTEM_KINDS
from litellm_role_guard.template.errors import TemplateRefused

CONTROL_ROLE = "qqq"


class Renders(Protocol):
    """A chat template, or a server that renders one."""

    def render(self, messages: Sequence[Any], *, tools: Sequence[Any] | None) -> str:
        """Return the prompt; raise `TemplateRefused`."""


def read(template: Renders, messages: Sequence[Any], *, tools: bool) -> str | None:
    """Return the prompt that the template makes, or None where it refuses."""
    try:
        return template.render(messages, tools=TOOLS if tools else None)
    except TemplateRefused:
        return None


def misread(
    template: Renders, messages: Sequence[Any], *, tools: bool, empty: bool = False
) -> Iterator[int]:
    """Yield the messages that are printed as they would be in a role that nobody knows.

    System and developer messages before the first turn are left out, and later ones whose role
    names a turn at the front as well.

    Args:
        template: The template.
        messages: The conversation.
        tools: Whether tool definitions go with it.
        empty: Whether messages without any text count, where they leave a trace.
    """
    prompt = read(template, messages, tools=tools)
    if prompt is None:
        return
    at_front = True
    for at, message in enumerate(messages):
        role = message["role"]
        at_front = at_front and role in SYSTEM_KINDS
        if role in ("user", "assistant") or at_front:
            continue
        without = [*messages[:at], *messages[at + 1 :]]
        if is_empty(message) and (not empty or read(template, without, tools=tools) == prompt):
            continue
        alike = {**message, "role": CONTROL_ROLE}
        if role == "tool" and not has_media(message):
            alike["content"] = plain_text(message)  # as vLLM shows the parts of a result alone
        control = [*messages[:at], alike, *messages[at + 1 :]]
        other = read(template, control, tools=tools)
        if (
            other is not None
            and _folded(prompt, role) == _folded(other, role)
            and not (role in SYSTEM_KINDS and _has_turns_of(template, role, tools=tools))
        ):
            yield at


def mispaired(template: Renders, messages: Sequence[Any], *, tools: bool) -> Iterator[int]:
    """Yield the calls whose results come in another order, and in a prompt that shows no ids."""
    prompt = read(template, messages, tools=tools)
    if prompt is None:
        return
    for at, message in enumerate(messages):
        calls = [call["id"] for call in message.get("tool_calls") or ()]
        behind = itertools.takewhile(lambda each: each["role"] == "tool", messages[at + 1 :])
        results = [each for each in behind if each.get("tool_call_id") in calls]
        answered = [each["tool_call_id"] for each in results]
        expected = list(dict.fromkeys(calls))[: len(set(answered))]
        if list(dict.fromkeys(answered)) != expected and any(
            prompt.count(call_id) < 2 for call_id in answered
        ):
            places = [prompt.find(str(each["content"])) for each in results]
            # Some templates look a call's result up, wherever it stands.
            if places == sorted(places):  # not behind its own call
                yield at


def is_source_code(prompt: str) -> bool:
    """Return whether a prompt shows a text part as a list is written in source code."""
    found = re.search(r"""["']type["']: *["']text["'], *["']text["']:|(?<!\]\n)\[\]""", prompt)
    return found is not None


def _folded(prompt: str, role: str) -> str:
    return re.sub(f"{role}|{CONTROL_ROLE}", CONTROL_ROLE, prompt, flags=re.IGNORECASE)


def _has_turns_of(template: Renders, role: str, *, tools: bool) -> bool:
    """Return whether the role's name stands before the text of a message at the front."""
    front = [{"role": role, "content": "frontmark"}, {"role": "user", "content": "usermark"}]
    prompt = read(template, front, tools=tools)
    return prompt is not None and role in prompt.partition("frontmark")[0].lower()
