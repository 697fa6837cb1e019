"""Whether a template renders a repaired conversation, and all of its texts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..messages.message import Message, call_name, tool_calls
from .chat_template import ChatTemplate
from .errors import TemplateRefused
from .prompt_reading import expected_texts


def rendering_fault(
    template: ChatTemplate,
    meant: Sequence[Message],
    sent: Sequence[Message],
    *,
    tools: Sequence[Mapping[str, Any]] | None = None,
    prefill: bool = False,
) -> str | None:
    """Return what a template would do wrong with a conversation; None if it reads all of it.

    Only texts and names of called tools count, without the blanks around them, which a template
    may strip. Media leave no trace in a prompt.

    Args:
        template: The template.
        meant: The client's own messages.
        sent: The messages that are rendered.
        tools: The request's tool definitions.
        prefill: Whether the last message is the opening of the reply.

    Returns:
        The message of its refusal, or "" if it leaves a text out.
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


def _looked_for(messages: Sequence[Message]) -> Iterator[str]:
    for message in messages:
        yield from expected_texts(message)
        for call in tool_calls(message):
            yield call_name(call)
