"""LiteLLM's own calls, in front of a backend that needs no network."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import litellm
from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler

from litellm_role_guard import ChatTemplate, RoleGuard, TemplateProfile, TemplateRefused

STRICT = """
{%- if messages[0].role == 'system' -%}
  {{ '<s>' + messages[0].content }}{% set turns = messages[1:] %}
{%- else -%}{% set turns = messages %}{%- endif -%}
{%- for turn in turns -%}
  {%- if (turn.role == 'user') != (loop.index0 % 2 == 0) -%}
    {{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}
  {%- endif -%}
  {{ '<' + turn.role + '>' + turn.content }}
{%- endfor -%}
"""


NEVER = "{{ raise_exception('Conversation roles must alternate, whatever you do') }}"
KNOWS_NOTHING = TemplateProfile()
USER = {"role": "user", "content": "hi"}
REPLY = {"role": "assistant", "content": "hello"}
SYSTEM = {"role": "system", "content": "be kind"}
RUN = [USER, REPLY, USER, {"role": "user", "content": "still there?"}]
MERGED = [USER, REPLY, {"role": "user", "content": "hi\n\nstill there?"}]


class Backend(AsyncHTTPHandler):
    """A vLLM behind LiteLLM's own handler class; it keeps the bodies it gets."""

    def __init__(self, template: str) -> None:
        self.template = ChatTemplate(template)
        self.bodies: list[dict[str, Any]] = []

    async def post(self, url: str, **kwargs: Any) -> httpx.Response:
        """Answer as vLLM does: 200, or the template's refusal as a 400."""
        body = kwargs.get("json") or json.loads(kwargs["data"])
        self.bodies.append(body)
        request = httpx.Request("POST", url)
        try:
            self.template.render(body["messages"])
        except TemplateRefused as refusal:
            error = {"message": str(refusal), "type": "BadRequestError", "code": 400}
            response = httpx.Response(400, json={"error": error}, request=request)
            raise httpx.HTTPStatusError("400", request=request, response=response) from None
        if body.get("stream"):
            return httpx.Response(200, content=_stream(), request=request)
        message = {"role": "assistant", "content": "ok"}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        answer = {"id": "1", "object": "chat.completion", "created": 1, "model": "m"}
        return httpx.Response(200, json={**answer, "choices": choices}, request=request)


async def _stream() -> AsyncIterator[bytes]:
    head = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    for delta, reason in (({"role": "assistant", "content": "ok"}, None), ({}, "stop")):
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        yield f"data: {json.dumps({**head, 'choices': [choice]})}\n\n".encode()
    yield b"data: [DONE]\n\n"


async def ask(messages: Any, **kwargs: Any) -> Any:
    """Ask the backend through LiteLLM; read a stream to its end."""
    answer = await litellm.acompletion(
        model="hosted_vllm/m", api_base="http://backend/v1", messages=messages, **kwargs
    )
    return [chunk async for chunk in answer] if kwargs.get("stream") else answer


def call(messages: Any = RUN, **kwargs: Any) -> dict[str, Any]:
    """Give the arguments with which LiteLLM calls the deployment hook."""
    arguments = {"model": "hosted_vllm/m", "api_base": "http://b/v1", "messages": messages}
    return {**arguments, "litellm_logging_obj": LoggingObject(), **kwargs}


def of_deployment(**settings: Any) -> dict[str, Any]:
    """Give a deployment's model_info with its own settings."""
    return {"id": "d1", "role_guard": settings}


def forget(guard: RoleGuard) -> None:
    """Make the profile of every known deployment wrong: nothing is in anyone's way."""
    for _, deployment in guard._deployments._known.values():
        deployment.install(KNOWS_NOTHING)


class LoggingObject:
    """What LiteLLM's logging object is to the guard: a key that all hooks of a request share."""
