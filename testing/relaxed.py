"""What a relaxed template has to render: the repair of what a template can know of the messages."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from litellm_role_guard.profile.template_profile import TemplateProfile
from litellm_role_guard.relax.relax import relax
from litellm_role_guard.repair.chain import repair
from litellm_role_guard.template.chat_template import ChatTemplate
from litellm_role_guard.template.errors import TemplateRefused
from litellm_role_guard.template.vllm_messages import to_template_message

Messages = Sequence[Mapping[str, Any]]

_made: dict[Hashable, ChatTemplate] = {}


def as_known(template: ChatTemplate, messages: Messages) -> list[dict[str, Any]]:
    """Give the messages of which vLLM makes the same as of these, in the plainest form.

    What it does not hand to a template is gone: malformed arguments, `refusal`, `function_call`,
    how JSON was spaced, and whether what became one string was null, a string or parts.
    """
    return [_plain(to_template_message(message, template.content_format)) for message in messages]


def _plain(seen: dict[str, Any]) -> dict[str, Any]:
    left_out = ("reasoning_content", *(["tools"] if seen.get("tools") is None else []))
    message = {key: value for key, value in seen.items() if key not in left_out}
    content = message["content"]
    if content == []:
        message["content"] = None
    elif isinstance(content, list) and len(content) == 1 and content[0]["type"] == "text":
        message["content"] = content[0]["text"]
    return message


def relaxed(template: ChatTemplate, profile: TemplateProfile) -> ChatTemplate:
    """Give the relaxed template of this one, with its special tokens; it is made once a process."""
    tokens = tuple(template.special_tokens.items())
    made = _made.get(key := (template.text, tokens, profile.model_dump_json()))
    if made is None:
        text = relax(template, profile, source="original.jinja")
        made = _made[key] = ChatTemplate(text, special_tokens=template.special_tokens)
    return made


def expected(
    template: ChatTemplate,
    profile: TemplateProfile,
    messages: Messages,
    *,
    tools: Any = None,
    prefill: bool = False,
) -> str:
    """Give what the original renders of the repaired messages."""
    repaired = repair(messages, profile, tools=tools, prefill=prefill).messages
    return rendered(template, repaired, tools=tools, prefill=prefill)


def rendered(
    template: ChatTemplate, messages: Any, *, tools: Any = None, prefill: bool = False
) -> str:
    """Give the prompt, or the refusal's words."""
    try:
        return template.render(
            messages,
            tools=tools,
            add_generation_prompt=not prefill,
            continue_final_message=prefill,
        )
    except TemplateRefused as refused:
        return f"400: {refused}"
