"""The prompt, or the refusal, that a backend makes of a conversation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from ..messages.message import Message
from .errors import BackendRefused
from .server import connected


async def refusal_of(
    base_url: str,
    model: str,
    messages: Sequence[Message],
    api_key: str | None = None,
    *,
    tools: Sequence[Mapping[str, Any]] | None = None,
    client: httpx.AsyncClient | None = None,
    fields: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> str | None:
    """Give the words with which a backend refuses to render a conversation; None if it does not.

    Args:
        base_url: The server's address, with or without `/v1`.
        model: The name of a served model.
        messages: The conversation.
        api_key: Sent as the bearer token.
        tools: The tool definitions that go with it.
        client: The connections to use, which stay the caller's.
        fields: Further fields of the `/tokenize` request.
        headers: Further headers.

    Raises:
        LearningFailed: The backend cannot be asked.
    """
    body = {**(fields or {}), "model": model, "messages": without_null_content(messages)}
    if tools:
        body["tools"] = tools
    async with connected(base_url, api_key, client, headers) as server:
        try:
            await server.post("/tokenize", body)
        except BackendRefused as refusal:
            return str(refusal)
    return None


async def prompt_of(
    base_url: str,
    model: str,
    messages: Sequence[Message],
    api_key: str | None = None,
    *,
    tools: Sequence[Mapping[str, Any]] | None = None,
    prefill: bool = False,
    client: httpx.AsyncClient | None = None,
    fields: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> str:
    """Give the prompt that a backend makes of a conversation.

    Args:
        base_url: The server's address, with or without `/v1`.
        model: The name of a served model.
        messages: The conversation.
        api_key: Sent as the bearer token.
        tools: The tool definitions that go with it.
        prefill: Whether the last message is the opening of the reply.
        client: The connections to use, which stay the caller's.
        fields: Further fields of the `/tokenize` request.
        headers: Further headers.

    Raises:
        BackendRefused: The backend refuses the conversation, in these words.
        LearningFailed: The backend cannot be asked.
    """
    body = {**(fields or {}), "model": model, "messages": without_null_content(messages)}
    if tools:
        body["tools"] = tools
    if prefill:
        body |= {"add_generation_prompt": False, "continue_final_message": True}
    async with connected(base_url, api_key, client, headers) as server:
        return await server.detokenize(model, await server.tokenize(body))


def without_null_content(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Give messages as LiteLLM's hosted_vllm code sends them (`validate_and_fix_openai_messages`).

    vLLM's request model takes no null for most roles, and a message without content for all.
    """
    return [
        {key: value for key, value in message.items() if key != "content" or value is not None}
        for message in messages
    ]
