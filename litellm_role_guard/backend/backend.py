"""Where and how a deployment's backend is asked."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

LIMIT_SECONDS = 30.0
"""How long a backend may take for an answer."""


@dataclass(frozen=True)
class Backend:
    """Where and how a deployment's backend is asked.

    Attributes:
        name: What the log calls the deployment.
        url: Its address, with or without `/v1`.
        model: The name of the served model.
        api_key: The bearer token.
        headers: Further headers.
        fields: Further fields of every conversation, such as `chat_template_kwargs`.
        verify: How its certificate is checked by connections that are made for the asking.
        handler: LiteLLM's own connections (`AsyncHTTPHandler`), which are used where there are any.
    """

    name: str
    url: str
    model: str
    api_key: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)
    verify: Any = True
    handler: Any = None

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        """Give the connections to ask with until the block is left."""
        given = getattr(self.handler, "client", None)
        if isinstance(given, httpx.AsyncClient):
            yield given
            return
        async with httpx.AsyncClient(timeout=LIMIT_SECONDS, verify=self.verify) as own:
            yield own
