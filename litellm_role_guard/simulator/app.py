"""A vLLM look-alike that renders a real chat template and refuses as vLLM refuses.

It has no model: its answer says what the rendered prompt contains, or what a script says to that
prompt. Everything before the model is
as in vLLM 0.32.0 (`entrypoints/openai`): the endpoints, the checks, their words, the JSON.

    client ─► FaultyApp ─► endpoint ─► Engine ─► ChatTemplate
              fails on      speaks      checks,   renders
              demand        vLLM's      answers
                            JSON
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Any, cast

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from pydantic import TypeAdapter
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from ..template.chat_template import ChatTemplate
from .chat import answer_chat, render_chat
from .engine import Engine
from .faults import TRANSPORT, Control, FaultyApp
from .model import decode, encode
from .protocol import DetokenizeRequest, Refused, TokenizeChat, TokenizeText
from .responses import answer_responses, no_response
from .scripted import Script

VLLM_VERSION = "0.32.0"
"""The imitated release, which `/version` returns."""

_TOKENIZE: TypeAdapter[TokenizeText | TokenizeChat] = TypeAdapter(TokenizeText | TokenizeChat)
_DETOKENIZE: TypeAdapter[DetokenizeRequest] = TypeAdapter(DetokenizeRequest)


def create_app(
    template: ChatTemplate,
    *,
    model: str,
    max_model_len: int = 32768,
    trust_request_chat_template: bool = False,
    enable_auto_tool_choice: bool = False,
    enable_scale_out: bool = False,
    latency: float = 0.0,
    tokens_per_second: float | None = None,
    script: Script | None = None,
) -> FastAPI:
    """Return the simulator as an ASGI app.

    Args:
        template: The chat template that judges and renders every conversation.
        model: The name of the one model that is served.
        max_model_len: The model's context length, in tokens.
        trust_request_chat_template: Whether a request may bring its own template.
        enable_auto_tool_choice: Whether tools may be given without a `tool_choice` of "none".
        enable_scale_out: Whether `/v1/chat/completions/render` tells the prompt of a request.
        latency: Time to the first token, in seconds.
        tokens_per_second: Speed of an answer; None for all at once.
        script: What the model says; by default it tells what it has read, and calls no tool.
    """
    engine = Engine(
        template,
        model,
        max_model_len=max_model_len,
        trust_request_chat_template=trust_request_chat_template,
        enable_auto_tool_choice=enable_auto_tool_choice,
        latency=latency,
        tokens_per_second=tokens_per_second,
        script=script,
    )
    control = Control()
    started = int(time.time())
    app = FastAPI(title="vLLM, simulated", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(FaultyApp, control=control)
    app.include_router(control.router())

    @app.exception_handler(Refused)
    async def refuse(request: Request, refusal: Refused) -> JSONResponse:
        return JSONResponse(refusal.body(), refusal.status)

    @app.get("/health")
    async def health() -> Response:
        return Response()

    @app.get("/version")
    async def version() -> dict[str, str]:
        return {"version": VLLM_VERSION}

    @app.get("/metrics")
    async def metrics() -> PlainTextResponse:
        return PlainTextResponse(
            engine.metrics.exposition(), media_type="text/plain; version=0.0.4"
        )

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        card = {"id": model, "object": "model", "created": started, "owned_by": "vllm"}
        return {
            "object": "list",
            "data": [{**card, "root": model, "parent": None, "max_model_len": max_model_len}],
        }

    @app.post("/tokenize")
    async def tokenize(request: Request) -> dict[str, Any]:
        body = await engine.read(request, _TOKENIZE)
        if isinstance(body, TokenizeText):
            tokens = encode(body.prompt)
        else:
            prompt = engine.prompt(body, body.chat_template_kwargs)
            request.scope["received"].prompt = prompt.text
            tokens = prompt.tokens
        strings = [decode([token]) for token in tokens] if body.return_token_strs else None
        counted = {"count": len(tokens), "max_model_len": max_model_len}
        return {**counted, "tokens": tokens, "token_strs": strings}

    @app.post("/detokenize")
    async def detokenize(request: Request) -> dict[str, str]:
        body = await engine.read(request, _DETOKENIZE)
        return {"prompt": decode(body.tokens)}

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        return await answer_chat(engine, request)

    if enable_scale_out:

        @app.post("/v1/chat/completions/render")
        async def render(request: Request) -> dict[str, Any]:
            return await render_chat(engine, request)

    @app.post("/v1/responses")
    async def responses(request: Request) -> Response:
        return await answer_responses(engine, request)

    @app.get("/v1/responses/{response_id}")
    async def stored_response(response_id: str) -> Response:
        raise no_response(response_id)

    return app


def serve(
    app: ASGIApp,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve an app of `create_app` until the process gets a signal to stop.

    Args:
        app: The app.
        host: The address to listen on.
        port: The port to listen on; 0 for a free one.
        on_ready: Called with the base URL once connections are accepted.

    Raises:
        OSError: The server cannot listen on the address.
    """
    server = uvicorn.Server(server_config(app))
    with socket.create_server((host, port)) as listening:
        if on_ready is not None:
            # The socket takes connections from here on; they are answered once the loop runs.
            on_ready(f"http://{host}:{listening.getsockname()[1]}")
        server.run(sockets=[listening])


def server_config(app: ASGIApp) -> uvicorn.Config:
    """Return the uvicorn settings with which faults can drop connections."""
    return uvicorn.Config(
        app, http=_Protocol, ws="none", lifespan="off", access_log=False, log_level="warning"
    )


class _Protocol(H11Protocol):
    """HTTP that passes the connection to the app, under `TRANSPORT` in the scope."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        app = cast(ASGIApp, self.app)

        async def app_with_transport(scope: Scope, receive: Receive, send: Send) -> None:
            scope[TRANSPORT] = transport
            await app(scope, receive, send)

        self.app = cast(Any, app_with_transport)
