"""What is sent for a broken conversation: by this guard, and by what one would take instead."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from litellm.litellm_core_utils.prompt_templates.common_utils import get_completion_messages
from litellm.litellm_core_utils.prompt_templates.factory import map_system_message_pt
from litellm.llms.hosted_vllm.chat.transformation import HostedVLLMChatConfig

from litellm_role_guard import ChatTemplate, TemplateProfile, TemplateRefused, repair
from litellm_role_guard.messages.message import Message, plain_text, tool_calls
from litellm_role_guard.profile.states import SYSTEM_KINDS

from .breaks import Talk, talk


class Backend(NamedTuple):
    """A chat template that requests bring.

    Attributes:
        source: The template.
        profile: What it accepts and drops.
        takes_late_system: Whether it takes a system message after the first turn.
        takes_tools: Whether it takes a call of a tool and its result.
    """

    source: str
    profile: TemplateProfile
    takes_late_system: bool
    takes_tools: bool


def backend(path: Path) -> Backend:
    """Read a template."""
    template = ChatTemplate.from_path(path)

    def takes(event: str) -> bool:
        try:
            template.render(talk({1: event}, event)[-1])
        except TemplateRefused:
            return False
        return True

    profile = TemplateProfile.learn(template)
    return Backend(path.read_text(encoding="utf-8"), profile, takes("system"), takes("tools"))


def clean(requests: Talk, backend: Backend) -> Talk:
    """Give a conversation without a fault that adds the same texts with each request.

    What is new in a request is one reply and one question there; of a single new text the one half
    is the reply. A round of tool calls stays one where the template takes it: there it is no fault.
    """
    messages = list(requests[0])
    given = [requests[0]]
    for before, now in itertools.pairwise(requests):
        new = now[len(before) :]
        if tool_calls(new[0]) and backend.takes_tools:
            messages += new
        else:
            texts = [_said(message) for message in new]
            if len(texts) == 1:
                words = texts[0].split()
                texts = [" ".join(words[: len(words) // 2]), " ".join(words[len(words) // 2 :])]
            reply, *questions = texts
            messages.append({"role": "assistant", "content": reply})
            messages.append({"role": "user", "content": "\n\n".join(questions)})
        given.append(list(messages))
    return given


def _said(message: Message) -> str:
    calls = tool_calls(message)
    return str(calls[0]["function"]["arguments"]) if calls else plain_text(message)


def guarded(requests: Talk, backend: Backend) -> Talk:
    """Give what this guard makes of each request, with the template's own profile."""
    return [repair(_known_roles(messages), backend.profile).messages for messages in requests]


def _known_roles(messages: Any) -> Any:
    # LiteLLM sends vLLM a developer message as a system message; the guard judges it as one.
    return HostedVLLMChatConfig().translate_developer_role_to_system_role(messages)


def hoisted(requests: Talk, _: Backend) -> Talk:
    """Give each request with all system text in one message at the front, and runs merged."""
    return [_hoisted(messages) for messages in requests]


def _hoisted(messages: Sequence[Message]) -> list[Message]:
    fronts = [message for message in messages if message["role"] in SYSTEM_KINDS]
    text = "\n\n".join(plain_text(message) for message in fronts)
    turns: list[Message] = [{"role": "system", "content": text}]
    for message in messages:
        role = message["role"]
        if role in SYSTEM_KINDS:
            continue
        plain = role != "tool" and not tool_calls(message) and not tool_calls(turns[-1])
        if plain and role == turns[-1]["role"]:
            joined = f"{turns[-1]['content']}\n\n{message['content']}"
            turns[-1] = {**message, "content": joined}
        else:
            turns.append(message)
    return turns


def placeholders(requests: Talk, backend: Backend) -> Talk:
    """Give what LiteLLM sends with `ensure_alternating_roles: true`.

    And with `supports_system_message: false` where the template refuses a late system message. The
    steps and their order are those of `litellm.completion`.
    """
    given = []
    for messages in requests:
        own: Any = copy.deepcopy(list(messages))
        turns = get_completion_messages(own, None, None, ensure_alternating_roles=True)
        sent = _known_roles(turns)
        given.append(sent if backend.takes_late_system else map_system_message_pt(sent))
    return given


GUARD, HOISTED, PLACEHOLDERS, CLEAN = (
    "this guard",
    "system messages hoisted",
    "LiteLLM's placeholders",
    "clean conversation",
)
CONTENDERS: dict[str, Callable[[Talk, Backend], Talk]] = {
    CLEAN: clean,
    GUARD: guarded,
    HOISTED: hoisted,
    PLACEHOLDERS: placeholders,
}
