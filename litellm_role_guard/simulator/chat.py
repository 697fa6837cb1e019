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
from .engine import Engine, Reply, new_id
from .protocol import ChatRequest, NamedTool
from .scripted import Call, Prompt, new_call_id

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
    body = await engine.read(request, _FORM)
    prompt, room = _prompt(engine, body)
    received.prompt = prompt.text
    choices = 1 if body.n is None else body.n
    body.check_sampling(room, choices)
    reply = engine.reply(prompt, room, silent=received.fault == "empty")
    if body.stream:
        events = _events(engine, body, reply, choices)
        return StreamingResponse(events, media_type="text/event-stream")
    return JSONResponse(await _completion(engine, body, reply, choices))


async def render_chat(engine: Engine, request: Request) -> dict[str, Any]:
    """Return the prompt of one request in place of an answer.

    Source: vLLM 0.32.0 `entrypoints/scale_out/render/serving.py`, `render_chat_request`.

    Args:
        engine: The served model.
        request: As for `answer_chat`.

    Raises:
        Refused: vLLM would refuse the request.
    """
    body = await engine.read(request, _FORM)
    prompt, room = _prompt(engine, body)
    request.scope["received"].prompt = prompt.text
    return {
        "request_id": new_id("chatcmpl-"),
        "token_ids": prompt.tokens,
        "model": body.model,
        "sampling_params": {"max_tokens": room},
        "stream": bool(body.stream),
    }


def _prompt(engine: Engine, body: ChatRequest) -> tuple[Prompt, int]:
    """Return the prompt of a request, and how many tokens its reply may have."""
    limit, limit_name = body.max_completion_tokens, "max_completion_tokens"
    if limit is None:
        limit, limit_name = body.max_tokens, "max_tokens"
    choice = body.tool_choice
    engine.check_tool_choice(choice.function.name if isinstance(choice, NamedTool) else choice)
    engine.check_limit(limit_name, limit)
    prompt = engine.prompt(body, _variables(body))
    if choice in (None, "none"):
        prompt = prompt._replace(tools=())
    return prompt, engine.room(prompt, limit)


def _variables(body: ChatRequest) -> dict[str, Any]:
    variables = dict(body.chat_template_kwargs or {})
    if body.documents is not None:
        variables["documents"] = body.documents
    if body.reasoning_effort is not None:
        variables["reasoning_effort"] = body.reasoning_effort
        variables.setdefault("enable_thinking", body.reasoning_effort != "none")
    return variables


def _role(body: ChatRequest, prompt: Prompt) -> str:
    if body.add_generation_prompt:
        return "assistant"
    return str(prompt.messages[-1]["role"])


def _echoed(body: ChatRequest, prompt: Prompt) -> str:
    last = prompt.messages[-1]
    return plain_text(last) if body.echo and last["role"] == _role(body, prompt) else ""


def _usage(reply: Reply, choices: int) -> dict[str, Any]:
    read, said = reply.usage
    said *= choices
    return {"prompt_tokens": read, "total_tokens": read + said, "completion_tokens": said}


async def _completion(
    engine: Engine, body: ChatRequest, reply: Reply, choices: int
) -> dict[str, Any]:
    text = "".join([piece async for piece in engine.speak(reply)])
    message: dict[str, Any] = {
        "role": _role(body, reply.prompt),
        "content": _echoed(body, reply.prompt) + text,
        "refusal": None,
        "annotations": None,
        "audio": None,
        "function_call": None,
        "reasoning": None,
    }
    if reply.calls:
        calls = [{"id": new_call_id(), **_call(call)} for call in reply.calls]
        message |= {"content": message["content"] or None, "tool_calls": calls}
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
        "prompt_text": reply.prompt.text if body.return_prompt_text else None,
        "kv_transfer_params": None,
    }


async def _events(
    engine: Engine, body: ChatRequest, reply: Reply, choices: int
) -> AsyncIterator[str]:
    head: dict[str, Any] = {"id": new_id("chatcmpl-"), "object": "chat.completion.chunk"}
    head |= {"created": int(time.time()), "model": engine.model}
    prompt_text = reply.prompt.text if body.return_prompt_text else None

    def chunk(delta: dict[str, Any], index: int, **rest: Any) -> str:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}
        choice |= {key: rest.pop(key) for key in ("finish_reason", "stop_reason") if key in rest}
        return _event({**head, "choices": [choice], **rest})

    pieces = engine.speak(reply)
    await anext(pieces)
    for index in range(choices):
        role = {"role": _role(body, reply.prompt), "content": ""}
        yield chunk(role, index, prompt_token_ids=None, prompt_text=prompt_text)
    if echoed := _echoed(body, reply.prompt):
        for index in range(choices):
            yield chunk({"content": echoed}, index)
    async for piece in pieces:
        for index in range(choices):
            yield chunk({"content": piece}, index)
    for at, call in enumerate(reply.calls):
        opened = {"id": new_call_id(), "index": at, **_call(call._replace(arguments=""))}
        half = len(call.arguments) // 2
        for index in range(choices):
            yield chunk({"tool_calls": [opened]}, index)
            for part in (call.arguments[:half], call.arguments[half:]):
                grown = {"index": at, "function": {"arguments": part}}
                yield chunk({"tool_calls": [grown]}, index)
    with_usage = body.stream_options is not None and bool(body.stream_options.include_usage)
    over: dict[str, Any] = {"finish_reason": reply.finish_reason, "stop_reason": None}
    last = {"system_fingerprint": FINGERPRINT}
    for index in range(choices):
        yield chunk({"content": ""}, index, **over, **({} if with_usage else last))
    if with_usage:
        yield _event({**head, "choices": [], "usage": _usage(reply, choices), **last})
    yield "data: [DONE]\n\n"


def _call(call: Call) -> dict[str, Any]:
    return {"type": "function", "function": call._asdict()}


def _event(event: dict[str, Any]) -> str:
    return f"data: {json.dumps(event, ensure_ascii=False, separators=(',', ':'))}\n\n"
