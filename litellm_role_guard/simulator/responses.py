"""`/v1/responses` as vLLM speaks it: one JSON object, or its sequence of events.

Source: vLLM 0.32.0 `entrypoints/openai/responses/serving.py` and `utils.py`.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import TypeAdapter

from .engine import Engine, Reply, new_id
from .input_items import is_reasoning
from .protocol import Refused, ResponsesRequest
from .response_tools import call_item, functions_of, opened

_FORM: TypeAdapter[ResponsesRequest] = TypeAdapter(ResponsesRequest)
_CALLS = ("function_call", "custom_tool_call")
_ANSWER_PARTS = ("output_text", "refusal")
_TOOL_OUTPUTS = ("function_call_output", "custom_tool_call_output")


async def answer_responses(engine: Engine, request: Request) -> Response:
    """Answer one request.

    Args:
        engine: The served model.
        request: The request, whose scope has the record of it as "received".

    Raises:
        Refused: vLLM would refuse the request.
    """
    received = request.scope["received"]
    body = await engine.read(request, _FORM)
    if body.background:
        raise _bad_request(
            "This vLLM engine does not support `store=True` and therefore does not support the "
            "background mode. To enable these features, set the environment variable "
            "`VLLM_ENABLE_RESPONSES_API_STORE=1` when launching the vLLM server.",
            "background",
        )
    if body.previous_response_id is not None:
        raise no_response(body.previous_response_id)
    # The body is read as it came: pydantic's union may have picked a type of its own for an item.
    written = (await request.json())["input"]
    unfinished = isinstance(written, list) and bool(written) and _is_unfinished(written[-1])
    messages = as_messages(written, body.instructions)
    engine.check_limit("max_output_tokens", body.max_output_tokens)
    prompt = engine.render(
        messages,
        tools=functions_of(body.tools) or None,
        add_generation_prompt=not unfinished,
        continue_final_message=unfinished,
        variables=body.chat_template_kwargs,
    )
    received.prompt = prompt.text
    room = engine.room(prompt, body.max_output_tokens)
    if len(prompt.tokens) >= engine.max_model_len:
        raise _bad_request(
            f"The engine prompt length {len(prompt.tokens)} exceeds the max_model_len "
            f"{engine.max_model_len}. Please reduce prompt.",
            "input",
        )
    body.check_sampling(room)
    reply = engine.reply(prompt, room, silent=received.fault == "empty")
    answer = _Answer(engine, body, reply, room)
    if body.stream:
        return StreamingResponse(answer.events(), media_type="text/event-stream")
    return JSONResponse(await answer.response())


def no_response(response_id: str) -> Refused:
    """Return the refusal for an earlier response: the simulator stores none."""
    refusal = f"Response with id '{response_id}' not found."
    return Refused(refusal, status=404, kind="invalid_request_error", param="response_id")


def _bad_request(message: str, param: str) -> Refused:
    return Refused(message, kind="invalid_request_error", param=param)


def as_messages(written: str | list[Any], instructions: str | None) -> list[dict[str, Any]]:
    """Return the chat messages that vLLM makes of an input.

    Args:
        written: The request's `input`.
        instructions: The request's `instructions`; they become the first system message.

    Raises:
        Refused: The input has an item of a kind that vLLM cannot put into a conversation.
    """
    messages: list[dict[str, Any]] = []
    if instructions:
        messages.append({"role": "system", "content": instructions})
    if isinstance(written, str):
        return [*messages, {"role": "user", "content": written}]
    given: list[dict[str, Any]] = []  # the instructions are none of what items are joined to
    for item in written:
        message = _as_message(item, given[-1] if given else {})
        if message is not None:
            given.append(message)
    return messages + given


def _as_message(item: Mapping[str, Any], before: dict[str, Any]) -> dict[str, Any] | None:
    """Return a new message, or None where the item was put into the one before it.

    Source: `_construct_message_from_response_item`, in its order.
    """
    kind = item.get("type")
    if kind in _CALLS:
        call = _as_call(item)
        if before.get("role") == "assistant":
            before["tool_calls"] = [*(before.get("tool_calls") or ()), call]
            return None
        return {"role": "assistant", "tool_calls": [call]}
    if kind == "reasoning" and is_reasoning(item):
        if item.get("encrypted_content"):
            raise Refused.field("Encrypted content is not supported.", "input")
        parts = item.get("content") or item.get("summary")
        return _joined(before, "reasoning", parts[0]["text"] if parts else "")
    if kind in _TOOL_OUTPUTS:
        content, call_id = item.get("output"), item.get("call_id")
        return {"role": "tool", "content": content, "tool_call_id": call_id}
    if item.get("role") == "assistant":
        text = _first_text(item)
        if text is not None:
            return _joined(before, "content", text)
    if "role" in item:
        return {key: value for key, value in item.items() if key not in ("type", "id", "status")}
    raise Refused.field(f"Unsupported input item type: {kind}", "input")


def _as_call(item: Mapping[str, Any]) -> dict[str, Any]:
    name, arguments = item["name"], item.get("arguments")
    if item["type"] == "custom_tool_call":
        arguments = json.dumps({"input": item.get("input") or ""}, ensure_ascii=False)
    elif item.get("namespace"):
        name = f"{item['namespace']}__{name}"
    function = {"name": name, "arguments": arguments}
    return {"id": item["call_id"], "type": "function", "function": function}


def _first_text(item: Mapping[str, Any]) -> str | None:
    """Return the text of an assistant's item: of its first part, and of no other."""
    content = item.get("content")
    if not isinstance(content, list):
        return content
    # An empty list is looked into only where the item is an earlier answer of vLLM's own form.
    if item.get("type") == "message" and all(part["type"] in _ANSWER_PARTS for part in content):
        try:
            text: str = content[0]["text"]
        except (IndexError, KeyError) as error:
            raise Refused(str(error), status=500, kind="InternalServerError") from error
        return text
    return content[0].get("text") if content else None


def _joined(before: dict[str, Any], key: str, value: str) -> dict[str, Any] | None:
    if before.get("role") == "assistant" and before.get(key) is None:
        before[key] = value
        return None
    return {"role": "assistant", key: value}


def _is_unfinished(item: Mapping[str, Any]) -> bool:
    if item.get("type", "message") not in ("message", "reasoning"):
        return False
    return item.get("status") in ("in_progress", "incomplete")


class _Answer:
    """The JSON forms of one reply."""

    def __init__(self, engine: Engine, body: ResponsesRequest, reply: Reply, room: int) -> None:
        self._engine = engine
        self._body = body
        self._reply = reply
        self._room = room
        self._id = new_id("resp_")
        self._item_id = new_id("msg_")
        self._created = int(time.time())
        self._calls: list[dict[str, Any]] = [call_item(call, body.tools) for call in reply.calls]

    async def response(self) -> dict[str, Any]:
        text = "".join([piece async for piece in self._engine.speak(self._reply)])
        said = [] if self._calls and not text else [self._item(text)]
        return self._response([*said, *self._calls], self._status(), self._usage())

    async def events(self) -> AsyncIterator[str]:
        number = 0

        def event(kind: str, **fields: Any) -> str:
            nonlocal number
            event_body = {**fields, "sequence_number": number, "type": f"response.{kind}"}
            number += 1
            line = json.dumps(event_body, ensure_ascii=False, separators=(",", ":"))
            return f"event: response.{kind}\ndata: {line}\n\n"

        for kind in ("created", "in_progress"):
            yield event(kind, response=self._response([], "in_progress", None))
        item = {"output_index": 0, "item_id": self._item_id}
        part = {**item, "content_index": 0}
        text = ""
        async for piece in self._engine.speak(self._reply):
            if not piece:
                continue
            if not text:
                begun = {**self._item(""), "status": "in_progress"}
                yield event("output_item.added", item=begun, output_index=0)
                yield event("content_part.added", **part, part=self._part(""))
            text += piece
            yield event("output_text.delta", **part, delta=piece, logprobs=[])
        if text:
            yield event("output_text.done", **part, text=text, logprobs=[])
            yield event("content_part.done", **part, part=self._part(text))
            yield event("output_item.done", item=self._item(text), output_index=0)
        output = [self._item(text)] if text else []
        for call in self._calls:
            at: dict[str, Any] = {"output_index": len(output)}
            yield event("output_item.added", item=opened(call), **at)
            place = {**at, "item_id": call["id"]}
            if call["type"] == "custom_tool_call":
                yield event("custom_tool_call_input.delta", **place, delta=call["input"])
                yield event("custom_tool_call_input.done", **place, input=call["input"])
            else:
                said = call["arguments"]
                half = len(said) // 2
                for part in (said[:half], said[half:]):
                    yield event("function_call_arguments.delta", **place, delta=part)
                name = {"name": call["name"]}
                yield event("function_call_arguments.done", **place, **name, arguments=said)
            yield event("output_item.done", item=call, **at)
            output.append(call)
        response = self._response(output, self._status(), self._usage())
        yield event("completed", response=response)

    def _status(self) -> str:
        return "incomplete" if self._reply.finish_reason == "length" else "completed"

    def _part(self, text: str) -> dict[str, Any]:
        return {"annotations": [], "text": text, "type": "output_text", "logprobs": None}

    def _item(self, text: str) -> dict[str, Any]:
        item = {"id": self._item_id, "content": [self._part(text)] if text else []}
        return {**item, "role": "assistant", "status": "completed", "type": "message"}

    def _usage(self) -> dict[str, Any]:
        read, said = self._reply.usage
        return {
            "input_tokens": read,
            "input_tokens_details": {"cached_tokens": self._reply.cached_tokens},
            "output_tokens": said,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": read + said,
        }

    def _response(
        self, output: list[dict[str, Any]], status: str, usage: dict[str, Any] | None
    ) -> dict[str, Any]:
        body = self._body
        return {
            "id": self._id,
            "created_at": self._created,
            "incomplete_details": (
                {"reason": "max_output_tokens"} if status == "incomplete" else None
            ),
            "instructions": body.instructions,
            "metadata": body.metadata,
            "model": self._engine.model,
            "object": "response",
            "output": output,
            "parallel_tool_calls": True,
            "temperature": 1.0 if body.temperature is None else body.temperature,
            "tool_choice": "auto" if body.tools else "none",
            "tools": body.tools,
            "top_p": 1.0 if body.top_p is None else body.top_p,
            "background": False,
            "max_output_tokens": self._room,
            "max_tool_calls": None,
            "previous_response_id": None,
            "prompt": None,
            "reasoning": None,
            "service_tier": "auto",
            "status": status,
            "text": None,
            "top_logprobs": None,
            "truncation": "disabled",
            "usage": usage,
            "user": None,
        }
