"""A backend that sheds load, fails, drops connections and hangs, and counts what it is asked."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

from starlette.types import ASGIApp, Receive, Scope, Send

from litellm_role_guard import ChatTemplate
from litellm_role_guard.simulator import create_app
from litellm_role_guard.simulator.faults import TRANSPORT

from .serving import serving
from .templates import STRICT

MODEL = "m"


class Flaky:
    """An ASGI app around the simulator's that fails as it is told, or as it draws.

    Args:
        faults: The share of requests that meet each of `429`, `500`, `drop` and `hang`.
        room: How many requests are answered at once; others get a 429. None for any number.
        seconds: How long an answer takes.
        seed: Where the chances come from.

    Attributes:
        asked: How often each text was asked, by the last message.
        answered: How often it was answered.
        in_flight: The number of requests under way, each time one came.
    """

    def __init__(
        self,
        faults: Mapping[str, float] | None = None,
        *,
        room: int | None = None,
        seconds: float = 0.0,
        seed: int = 0,
        template: ChatTemplate | None = None,
    ) -> None:
        self._app: ASGIApp = create_app(template or ChatTemplate.from_path(STRICT), model=MODEL)
        self._faults = dict(faults or {})
        self._room = room
        self._seconds = seconds
        self._draw = random.Random(seed)
        self._now = 0
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.bodies: list[dict[str, Any]] = []
        self.in_flight: list[int] = []
        self.url = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["path"] != "/v1/chat/completions":
            await self._app(scope, receive, send)
            return
        body = await _body(receive)
        asked = json.loads(body)
        text = str(asked["messages"][-1]["content"])
        self.bodies.append(asked)
        self.asked[text] += 1
        self._now += 1
        self.in_flight.append(self._now)
        try:
            await self._answer(scope, body, send, receive, text)
        finally:
            self._now -= 1

    async def _answer(
        self, scope: Scope, body: bytes, send: Send, receive: Receive, text: str
    ) -> None:
        fault = self._fault()
        if fault in ("429", "500"):
            await _refuse(send, int(fault))
            return
        if fault == "drop":
            cast(asyncio.Transport, scope[TRANSPORT]).abort()
            return
        if fault == "hang":
            await _gone(receive)
            return
        await asyncio.sleep(self._seconds)
        waiting = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Any:
            return waiting.pop() if waiting else await receive()

        async def noted(message: Any) -> None:
            if message.get("status") == 200:
                self.answered[text] += 1
            await send(message)

        await self._app(scope, again, noted)

    def _fault(self) -> str | None:
        if self._room is not None and self._now > self._room:
            return "429"
        drawn = self._draw.random()
        for fault, share in self._faults.items():
            drawn -= share
            if drawn < 0:
                return fault
        return None


@contextmanager
def flaky(*arguments: Any, **options: Any) -> Iterator[Flaky]:
    """Serve such a backend until the block is left."""
    backend = Flaky(*arguments, **options)
    with serving(backend) as backend.url:
        yield backend


async def _body(receive: Callable[..., Any]) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def _gone(receive: Callable[..., Any]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _refuse(send: Send, status: int) -> None:
    body = json.dumps({"error": {"message": "not now", "code": status}}).encode()
    headers = [(b"content-type", b"application/json"), (b"retry-after", b"0")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
