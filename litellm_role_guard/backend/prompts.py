"""The prompt, or the refusal, that a backend makes of a conversation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..messages.message import Message
from .backend import Backend
from .errors import BackendRefused
from .server import connected


async def refusal_of(
    backend: Backend,
    messages: Sequence[Message],
    *,
    tools: Sequence[Mapping[str, Any]] | None = None,
) -> str | None:
    """Return the words with which a backend refuses a conversation; None if it renders it.

    Args:
        backend: The vLLM.
        messages: The conversation.
        tools: The tool definitions that go with it.

    Raises:
        LearningFailed: The backend cannot be asked.
    """
    async with connected(backend) as server:
        try:
            await server.prompt_tokens(conversation_body(backend, messages, tools))
        except BackendRefused as refusal:
            return str(refusal)
    return None


async def prompt_of(
    backend: Backend,
    messages: Sequence[Message],
    *,
    tools: Sequence[Mapping[str, Any]] | None = None,
    prefill: bool = False,
) -> str:
    """Return the prompt that a backend makes of a conversation.

    Args:
        backend: The vLLM.
        messages: The conversation.
        tools: The tool definitions that go with it.
        prefill: Whether the last message is the opening of the reply.

    Raises:
        BackendRefused: The backend refuses the conversation, in these words.
        LearningFailed: The backend cannot be asked.
    """
    body = conversation_body(backend, messages, tools, prefill=prefill)
    async with connected(backend) as server:
        return await server.detokenize(await server.prompt_tokens(body))


def conversation_body(
    backend: Backend,
    messages: Sequence[Message],
    tools: Sequence[Mapping[str, Any]] | None = None,
    *,
    prefill: bool = False,
) -> dict[str, Any]:
    """Return the body with which a conversation is rendered, as chat is asked, or `/tokenize`.

    Args:
        backend: The vLLM that it is for.
        messages: The conversation.
        tools: The tool definitions that go with it.
        prefill: Whether the last message is the opening of the reply.
    """
    body = {
        **backend.fields,
        "model": backend.model,
        "messages": without_null_content(messages),
    }
    if tools:
        body["tools"] = tools
    if prefill:
        body |= {"add_generation_prompt": False, "continue_final_message": True}
    return body


def without_null_content(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return messages as LiteLLM's hosted_vllm code sends them.

    Source: LiteLLM `validate_and_fix_openai_messages`.
    vLLM's request model takes no null for most roles, and a message without content for all.
    """
    return [
        {key: value for key, value in message.items() if key != "content" or value is not None}
        for message in messages
    ]
