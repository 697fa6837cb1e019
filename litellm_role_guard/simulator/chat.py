"""`/v1/chat/completions` as vLLM speaks it: one JSON object, or a stream of chunks.

Source: vLLM 0.32.0 `entrypoints/openai/chat_completion/serving.py`.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import TypeAdapter

from ..messages.message import plain_text
from .engine import Engine, Prompt, Reply, new_id
from .protocol import ChatRequest, NamedTool

FINGERPRINT = "vllm-simulated"
"""The `system_fingerprint` of every answer."""

_FORM: TypeAdapter[ChatRequest] = TypeAdapter(ChatRequest)


async def answer_chat(engine: Engine, request: Request) -> Response:
    """Answer one request.

    Args:
        engine: The served model.
        request: The request, whose scope has the record of it as "received".

    Raises:
        Refused: vLLM would refuse the request.
    """
    received = request.scope["received"]
    asked = await engine.read(request, _FORM)
    limit, limit_name = asked.max_completion_tokens, "max_completion_tokens"
    if limit is None:
        limit, limit_name = asked.max_tokens, "max_tokens"
    choice = asked.tool_choice
    engine.check_tool_choice(choice.function.name if isinstance(choice, NamedTool) else choice)
    engine.check_limit(limit_name, limit)
    prompt = engine.prompt(asked, _variables(asked))
    received.prompt = prompt.text
    room = engine.room(prompt, limit)
    choices = 1 if asked.n is None else asked.n
    asked.check_sampling(room, choices)
    reply = engine.reply(prompt, room, silent=received.fault == "empty")
    if asked.stream:
        events = _events(engine, asked, reply, choices)
        return StreamingResponse(events, media_type="text/event-stream")
    return JSONResponse(await _completion(engine, asked, reply, choices))


def _variables(asked: ChatRequest) -> dict[str, Any]:
    variables = dict(asked.chat_template_kwargs or {})
    if asked.documents is not None:
        variables["documents"] = asked.documents
    if asked.reasoning_effort is not None:
        variables["reasoning_effort"] = asked.reasoning_effort
        variables.setdefault("enable_thinking", asked.reasoning_effort != "none")
    return variables


def _role(asked: ChatRequest, prompt: Prompt) -> str:
    if asked.add_generation_prompt:
        return "assistant"
    return str(prompt.messages[-1]["role"])


def _echoed(asked: ChatRequest, prompt: Prompt) -> str:
    last = prompt.messages[-1]
    return plain_text(last) if asked.echo and last["role"] == _role(asked, prompt) else ""


def _usage(reply: Reply, choices: int) -> dict[str, Any]:
    read, said = len(reply.prompt.tokens), len(reply.tokens) * choices
    return {"prompt_tokens": read, "total_tokens": read + said, "completion_tokens": said}


async def _completion(
    engine: Engine, asked: ChatRequest, reply: Reply, choices: int
) -> dict[str, Any]:
    text = "".join([piece async for piece in engine.speak(reply)])
    message = {
        "role": _role(asked, reply.prompt),
        "content": _echoed(asked, reply.prompt) + text,
        "refusal": None,
        "annotations": None,
        "audio": None,
        "function_call": None,
        "reasoning": None,
    }
    rest = {"logprobs": None, "finish_reason": reply.finish_reason, "stop_reason": None}
    details = {"prompt_tokens_details": None, "completion_tokens_details": None}
    return {
        "id": new_id("chatcmpl-"),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": engine.model,
        "choices": [{"index": index, "message": message, **rest} for index in range(choices)],
        "service_tier": None,
        "system_fingerprint": FINGERPRINT,
        "usage": {**_usage(reply, choices), **details},
        "prompt_logprobs": None,
        "prompt_token_ids": None,
        "prompt_text": reply.prompt.text if asked.return_prompt_text else None,
        "kv_transfer_params": None,
    }


async def _events(
    engine: Engine, asked: ChatRequest, reply: Reply, choices: int
) -> AsyncIterator[str]:
    head: dict[str, Any] = {"id": new_id("chatcmpl-"), "object": "chat.completion.chunk"}
    head |= {"created": int(time.time()), "model": engine.model}
    prompt_text = reply.prompt.text if asked.return_prompt_text else None

    def chunk(delta: dict[str, str], index: int, **rest: Any) -> str:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}
        choice |= {key: rest.pop(key) for key in ("finish_reason", "stop_reason") if key in rest}
        return _event({**head, "choices": [choice], **rest})

    pieces = engine.speak(reply)
    await anext(pieces)
    for index in range(choices):
        role = {"role": _role(asked, reply.prompt), "content": ""}
        yield chunk(role, index, prompt_token_ids=None, prompt_text=prompt_text)
    if echoed := _echoed(asked, reply.prompt):
        for index in range(choices):
            yield chunk({"content": echoed}, index)
    async for piece in pieces:
        for index in range(choices):
            yield chunk({"content": piece}, index)
    with_usage = asked.stream_options is not None and bool(asked.stream_options.include_usage)
    over: dict[str, Any] = {"finish_reason": reply.finish_reason, "stop_reason": None}
    last = {"system_fingerprint": FINGERPRINT}
    for index in range(choices):
        yield chunk({"content": ""}, index, **over, **({} if with_usage else last))
    if with_usage:
        yield _event({**head, "choices": [], "usage": _usage(reply, choices), **last})
    yield "data: [DONE]\n\n"


def _event(event: dict[str, Any]) -> str:
    return f"data: {json.dumps(event, ensure_ascii=False, separators=(',', ':'))}\n\n"
