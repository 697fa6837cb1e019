"""The address of a backend, and the connections to it."""

from __future__ import annotations

import contextlib
import functools
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import httpx

LIMIT_SECONDS = 30.0
"""How long a backend may take for an answer. It takes milliseconds where neither the backend nor
this process has anything else to do."""


@dataclass(frozen=True)
class Backend:
    """Where a backend is and how to send requests to it.

    Attributes:
        name: What the log calls the deployment.
        url: Its address, with or without `/v1`.
        model: The name of the served model; empty if only the server itself is asked.
        api_key: The bearer token.
        headers: Further headers of every request.
        fields: Further fields of every conversation, such as `chat_template` or
            `chat_template_kwargs`.
        verify: How new connections check the server's certificate, as in `httpx.AsyncClient`.
        handler: An object whose `client` is an open `httpx.AsyncClient`. Requests use its
            connections instead of new ones, and leave them open.
    """

    name: str
    url: str
    model: str = ""
    api_key: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)
    verify: Any = True
    handler: object = None

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        """Yield the handler's client, or else a new one that is closed at the end of the block."""
        open_client = getattr(self.handler, "client", None)
        if isinstance(open_client, httpx.AsyncClient):
            yield open_client
            return
        verify = _certificates() if self.verify is True else self.verify
        async with httpx.AsyncClient(timeout=LIMIT_SECONDS, verify=verify) as own:
            yield own

    @contextlib.asynccontextmanager
    async def reusing_connections(self) -> AsyncIterator[Backend]:
        """Yield this backend with one client for everything that is asked in the block."""
        async with self.client() as client:
            yield replace(self, handler=SimpleNamespace(client=client))


def sent_along(params: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return what a deployment sends along by itself, as the `headers` and `fields` of a backend.

    Args:
        params: Its arguments of LiteLLM's call, as `litellm_params` has them.
    """
    body = params.get("extra_body")
    variables = params.get("chat_template_kwargs")
    if variables is None and isinstance(body, Mapping):
        variables = body.get("chat_template_kwargs")
    headers: dict[str, str] = {}
    for name in ("headers", "extra_headers"):
        given = params.get(name)
        if isinstance(given, Mapping):
            headers.update((str(header), str(value)) for header, value in given.items())
    fields = {"chat_template_kwargs": variables} if isinstance(variables, Mapping) else {}
    return {"headers": headers, "fields": fields}


@functools.cache
def _certificates() -> ssl.SSLContext:
    # What httpx uses by default. Reading the certificates takes it 20 ms each time.
    return httpx.create_ssl_context()
