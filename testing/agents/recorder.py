"""A reverse proxy that passes requests on and keeps what a client asked and how it was answered.

client ─► Recorder ─► LiteLLM proxy ─► scripted model
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from ..serving import serving

# What belongs to one connection, or changes as httpx unpacks a body.
_HOP = {"connection", "content-encoding", "content-length", "host", "transfer-encoding"}
GUARD_HEADER = "x-role-guard"
_MODEL_PATHS = ("/v1/chat/completions", "/v1/messages", "/v1/responses")


@dataclass(frozen=True)
class Exchange:
    """One request of a client, and how it was answered.

    Attributes:
        path: The path that it was sent to.
        body: Its JSON body, as it was passed on.
        status: The HTTP status of the answer; 0 where the client left before there was one.
        changes: The guard's header, if there was one.
        error: The answer's text where it is no 200.
    """

    path: str
    body: Any
    status: int
    changes: str | None
    error: str


class Recorder:
    """The running reverse proxy.

    Args:
        target: The address of the proxy behind it.
        change: Returns what is passed on in place of the body of a request to a model.

    Attributes:
        url: Where clients reach it.
        target: The address of the proxy behind it.
    """

    def __init__(self, target: str, change: Callable[[Any], Any] | None = None) -> None:
        self.url = ""
        self.target = target
        self._change = change
        self._exchanges: list[Exchange] = []
        self._lock = threading.Lock()
        self._client = httpx.AsyncClient(timeout=None)  # the client's patience counts

    def take(self) -> list[Exchange]:
        """Return what asked a model since the last time, the oldest first."""
        with self._lock:
            taken, self._exchanges = self._exchanges, []
        return taken

    def app(self) -> Starlette:
        """Return the ASGI app."""
        methods = ["GET", "POST", "DELETE", "HEAD", "OPTIONS"]
        return Starlette(routes=[Route("/{path:path}", self._pass_on, methods=methods)])

    async def _pass_on(self, request: Request) -> Response:
        content = await request.body()
        if self._change is not None and request.url.path.endswith(_MODEL_PATHS):
            content = json.dumps(self._change(json.loads(content))).encode()
        headers = [(key, value) for key, value in request.headers.items() if key not in _HOP]
        url = f"{self.target}{request.url.path}"
        sent = self._client.build_request(
            request.method, url, params=request.query_params, headers=headers, content=content
        )
        answer = await _unless_left(request, self._client.send(sent, stream=True))
        if answer is None:
            self._keep(request.url.path, content, None, "")
            return Response(status_code=499)
        error = "" if answer.status_code == 200 else (await answer.aread()).decode()
        self._keep(request.url.path, content, answer, error)
        kept = {key: value for key, value in answer.headers.items() if key not in _HOP}
        if error:
            return Response(error, answer.status_code, kept)
        return StreamingResponse(_body_of(answer), answer.status_code, kept)

    def _keep(self, path: str, content: bytes, answer: httpx.Response | None, error: str) -> None:
        if not path.endswith(_MODEL_PATHS):
            return
        changes = None if answer is None else answer.headers.get(GUARD_HEADER)
        status = 0 if answer is None else answer.status_code
        with self._lock:
            self._exchanges.append(Exchange(path, json.loads(content), status, changes, error))


async def _unless_left(request: Request, sent: Awaitable[httpx.Response]) -> httpx.Response | None:
    """Return the answer to a request; None where its client leaves before, as a proxy sees it."""
    answered = asyncio.ensure_future(sent)
    left = asyncio.ensure_future(request.receive())  # the body is read: what comes is the end
    try:
        await asyncio.wait({answered, left}, return_when=asyncio.FIRST_COMPLETED)
        return answered.result() if answered.done() else None
    finally:
        left.cancel()
        answered.cancel()


async def _body_of(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for piece in answer.aiter_bytes():
            yield piece
    except httpx.TransportError:
        return  # the client sees the same break, as a body that ends too soon
    finally:
        await answer.aclose()


@contextmanager
def recording(target: str, change: Callable[[Any], Any] | None = None) -> Iterator[Recorder]:
    """Run a recorder in front of a proxy until the block is left."""
    recorder = Recorder(target, change)
    with serving(recorder.app()) as recorder.url:
        yield recorder
