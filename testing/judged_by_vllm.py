"""A real vLLM as the judge of a template: the profile learnt from it, and its own prompts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from litellm_role_guard import ChatTemplate, TemplateProfile, repair
from litellm_role_guard.backend.backend import Backend
from litellm_role_guard.backend.errors import BackendRefused
from litellm_role_guard.backend.prompts import prompt_of
from litellm_role_guard.probing.live import learn_from_backend
from litellm_role_guard.template.errors import TemplateRefused

from .conversations import Message, result, user
from .vllm import SPECIAL_TOKENS

# How each of these templates opens a tool's result.
NATIVE = {
    "gemma3": "<start_of_turn>tool",
    "llama3_1": "<|start_header_id|>ipython<|end_header_id|>",
    "qwen3": "<tool_response>",
    "gemma4_v2": "<|turn>tool",
}


class Judge:
    """A vLLM that renders one template, with the profile that was learnt from it.

    Args:
        backend: The vLLM.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.profile: TemplateProfile = asyncio.run(learn_from_backend(backend))

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> str:
        """Return the prompt that vLLM makes of a conversation; raise `TemplateRefused`."""
        try:
            return asyncio.run(prompt_of(self._backend, messages, tools=tools))
        except BackendRefused as refusal:
            raise TemplateRefused(str(refusal)) from refusal

    def after(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """Return the prompt that vLLM makes of a conversation once it is repaired."""
        return self.render(self.repaired(messages))

    def repaired(self, messages: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        """Return a conversation as the guard sends it."""
        return repair(messages, self.profile).messages


Ask = Callable[[str], Judge]
"""Gives the judge of a template of trl's, by the template's name."""


def from_file(path: Path) -> TemplateProfile:
    """Return the profile of a template as a vLLM with the tiny model would serve it.

    The model takes no images, so that nothing is learnt of them there.
    """
    profile = TemplateProfile.learn(ChatTemplate(path.read_text(), special_tokens=SPECIAL_TOKENS))
    untold: dict[str, Any] = {"media": {}, "media_with_system": "accepted"}
    with_tools = profile.with_tools and profile.with_tools.model_copy(update=untold)
    return profile.model_copy(update={**untold, "with_tools": with_tools})


def call(call_id: str, arguments: str, tool: str = "weather") -> Message:
    """Return a tool call."""
    function = {"name": tool, "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function}


def asks(*calls: Message, text: str | None = None) -> Message:
    """Return an assistant message with these calls."""
    return {"role": "assistant", "content": text, "tool_calls": list(calls)}


def stands_in_order(prompt: str, *texts: str) -> bool:
    """Return whether each text stands in a prompt once, and behind the one before it."""
    places = [prompt.find(text) for text in texts]
    return (
        -1 not in places and places == sorted(places) and all(prompt.count(t) == 1 for t in texts)
    )


QUESTION = user("How is the weather?")
THANKS = user("Thanks for that.")
OSLO = call("aB0000001", '{"city": "Oslo"}')
ROME = call("aB0000002", '{"city": "Rome"}')
IN_OSLO = result("aB0000001", "12 degrees")
IN_ROME = result("aB0000002", "25 degrees")
