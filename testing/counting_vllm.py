"""A backend without a socket that counts its requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httpx

from litellm_role_guard import ChatTemplate
from litellm_role_guard.backend.backend import Backend
from litellm_role_guard.simulator import create_app

MODEL = "simulated"
LONG = 60.0


class Vllm(httpx.AsyncBaseTransport):
    """A backend in this process that counts what it is asked, and can be told to fail."""

    def __init__(self, template: ChatTemplate, *, shows: str | None = None) -> None:
        self.serve(template)
        self.shows = shows
        self.asked: Counter[str] = Counter()
        self.fail: Callable[[httpx.Request], Any] | None = None

    def serve(self, template: ChatTemplate) -> None:
        """Be replaced by a backend with another template."""
        self._inner = httpx.ASGITransport(create_app(template, model=MODEL))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Count a request and answer it."""
        self.asked[request.url.path] += 1
        if self.fail is not None:
            failure = await self.fail(request)
            if failure is not None:
                return httpx.Response(failure)
        if request.url.path == "/tokenizer_info" and self.shows is not None:
            return httpx.Response(200, json={"chat_template": self.shows})
        return await self._inner.handle_async_request(request)

    def backend(self) -> Backend:
        """Tell how it is asked."""
        handler = SimpleNamespace(client=httpx.AsyncClient(transport=self))
        return Backend("d1", "http://vllm/v1", MODEL, handler=handler)
