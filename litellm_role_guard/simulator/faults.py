"""The simulator's control endpoint: faults on demand and the requests that were received.

POST   /control           {"fault": "hang", "count": 2, "paths": ["/v1/chat/completions"]}
GET    /control           the fault in force
GET    /control/requests  the received requests, oldest first; ?last=N for the newest N
DELETE /control/requests  forget them
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TRANSPORT = "simulator.transport"
"""The key under which a request's scope holds its connection, so that a fault can drop it."""

KEPT_REQUESTS = 1000
"""How many received requests are remembered."""

_WHOLE_PARTS = 2
"""How many parts of a body are sent before it is cut."""

FaultName = Literal["refuse", "hang", "cut", "error", "empty"]


class InjectedFault(BaseModel):
    """How the simulator is to fail: the body of `POST /control`."""

    model_config = ConfigDict(extra="forbid")

    fault: FaultName | None = Field(
        description="refuse: the connection is dropped without a reply; hang: no answer until the"
        " fault changes or the client leaves; cut: the answer stops half way and the connection"
        " closes; error: a 500; empty: an answer without text; null: no fault"
    )
    count: int | None = Field(default=None, ge=1, description="requests that fail; null: all")
    paths: list[str] | None = Field(
        default=None, description="paths that fail; null: all but /control"
    )


@dataclass
class Received:
    """A POST request that reached the simulator.

    Attributes:
        path: Its path.
        body: Its JSON body, or the text of a body that is no JSON; None if it was never read.
        prompt: The rendered prompt; None if there was none.
        status: The HTTP status of the answer; None if there was none.
        fault: The fault that it met.
    """

    path: str
    body: Any = None
    prompt: str | None = None
    status: int | None = None
    fault: FaultName | None = None


class Control:
    """The fault in force and the requests received so far."""

    def __init__(self) -> None:
        self.fault = InjectedFault(fault=None)
        self.received: deque[Received] = deque(maxlen=KEPT_REQUESTS)
        self.changed = asyncio.Event()

    def set(self, fault: InjectedFault) -> None:
        """Put a fault in force, and release the requests that hang in the one before."""
        self.fault = fault
        self.changed.set()
        self.changed = asyncio.Event()

    def meet(self, path: str) -> FaultName | None:
        """Return the fault for a request to this path, and count it down."""
        fault = self.fault
        if fault.fault is None or (fault.paths is not None and path not in fault.paths):
            return None
        if fault.count is not None:
            left = fault.count - 1
            # `changed` stays unset: a fault that runs out must not release requests that hang.
            self.fault = (
                fault.model_copy(update={"count": left}) if left else InjectedFault(fault=None)
            )
        return fault.fault

    def router(self) -> APIRouter:
        """Return the control endpoints."""
        router = APIRouter(prefix="/control")

        @router.get("")
        async def get_fault() -> InjectedFault:
            return self.fault

        @router.post("")
        async def set_fault(fault: InjectedFault) -> InjectedFault:
            self.set(fault)
            return fault

        @router.get("/requests")
        async def get_requests(last: int = KEPT_REQUESTS) -> JSONResponse:
            kept = list(self.received)
            return JSONResponse([asdict(one) for one in kept[max(0, len(kept) - last) :]])

        @router.delete("/requests", status_code=204)
        async def forget_requests() -> Response:
            self.received.clear()
            return Response(status_code=204)

        return router


class FaultyApp:
    """An ASGI app around the simulator's own that records requests and fails on demand.

    Args:
        app: The simulator's app.
        control: The source of faults, which also keeps the received requests.
    """

    def __init__(self, app: ASGIApp, control: Control) -> None:
        self._app = app
        self._control = control

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["path"].split("/")[1] == "control":
            await self._app(scope, receive, send)
            return
        changed = self._control.changed
        received = Received(scope["path"], fault=self._control.meet(scope["path"]))
        scope["received"] = received
        if scope["method"] == "POST":
            self._control.received.append(received)
        if received.fault == "refuse":
            _connection(scope).abort()
            await _until_disconnect(receive)
            return
        body = await _read(receive)
        received.body = _parsed(body)
        if received.fault == "hang" and not await _wait_for_change(changed, receive):
            return

        async def send_noting_status(message: Message) -> None:
            if message["type"] == "http.response.start":
                received.status = message["status"]
            await send(message)

        if received.fault == "error":
            error = {"message": "The simulator was told to fail.", "type": "InternalServerError"}
            failure = JSONResponse({"error": {**error, "param": None, "code": 500}}, 500)
            await failure(scope, receive, send_noting_status)
        elif received.fault == "cut":
            cut = _Cut(send_noting_status, _connection(scope))
            await self._app(scope, _replay(body, receive), cut)
            await _until_disconnect(receive)
        else:
            await self._app(scope, _replay(body, receive), send_noting_status)


class _Cut:
    """A `send` that lets some of the body through and then closes the connection."""

    def __init__(self, send: Send, connection: asyncio.Transport) -> None:
        self._send = send
        self._connection = connection
        self._parts = 0

    async def __call__(self, message: Message) -> None:
        if self._connection.is_closing():
            return
        if message["type"] == "http.response.body":
            self._parts += 1
            if self._parts > _WHOLE_PARTS or not message.get("more_body"):
                body = message.get("body", b"")
                half = {**message, "body": body[: len(body) // 2], "more_body": True}
                await self._send(half)
                self._connection.close()
                return
        await self._send(message)


def _connection(scope: Scope) -> asyncio.Transport:
    return cast(asyncio.Transport, scope[TRANSPORT])


async def _read(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += cast(bytes, message.get("body", b""))
        if not message.get("more_body"):
            return body


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace") or None


def _replay(body: bytes, receive: Receive) -> Receive:
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay


async def _until_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _wait_for_change(changed: asyncio.Event, receive: Receive) -> bool:
    """Wait until the fault changes (True) or the client leaves (False)."""
    change = asyncio.ensure_future(changed.wait())
    leave = asyncio.ensure_future(_until_disconnect(receive))
    try:
        await asyncio.wait({change, leave}, return_when=asyncio.FIRST_COMPLETED)
        return change.done()
    finally:
        change.cancel()
        leave.cancel()
