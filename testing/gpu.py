"""An address whose backend can be replaced by one with another template."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from starlette.types import ASGIApp, Receive, Scope, Send

from litellm_role_guard import ChatTemplate
from litellm_role_guard.simulator import create_app

from .serving import serving
from .templates import TEMPLATES

STRICT = ChatTemplate.from_path(TEMPLATES / "alternating.jinja")
PLAIN = ChatTemplate.from_path(TEMPLATES / "plain.jinja")
NO_TOOLS = ChatTemplate.from_path(TEMPLATES / "no_system.jinja")
# Alternates, and says so in words that nobody knows.
RIDDLE = ChatTemplate(
    "{% for m in messages %}{% if not loop.first and m.role == messages[loop.index0 - 1].role %}"
    "{{ raise_exception('Speak, friend.') }}{% endif %}<{{ m.role }}>{{ m.content }}{% endfor %}"
)
SHOUTING = ChatTemplate(
    "{% for m in messages %}{% if not loop.first and loud and m.role == 'system' %}"
    "{{ raise_exception('System message must be at the beginning.') }}{% endif %}"
    "<{{ m.role }}>{{ m.content }}{% endfor %}"
)
USER = {"role": "user", "content": "hi"}
CALL = {"id": "abcdefghi", "type": "function", "function": {"name": "clock", "arguments": "{}"}}
WITH_TOOLS: list[dict[str, Any]] = [
    USER,
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "abcdefghi", "content": "ten past six"},
    {"role": "assistant", "content": "It is evening."},
    {"role": "user", "content": "and now?"},
]


class Gpu:
    """An address whose backend can be replaced by another."""

    def __init__(self, template: ChatTemplate) -> None:
        self.url = ""
        self.headers: list[dict[str, str]] = []
        self.serve(template)

    def serve(self, template: ChatTemplate) -> None:
        """Put a backend with this template there."""
        self._app: ASGIApp = create_app(template, model="m")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the present backend answer."""
        if scope["type"] == "http" and scope["path"] == "/tokenize":
            self.headers.append({name.decode(): text.decode() for name, text in scope["headers"]})
        await self._app(scope, receive, send)

    def received(self, path: str) -> list[dict[str, Any]]:
        """Give what the present backend received at a path, the oldest first."""
        requests: list[dict[str, Any]] = httpx.get(f"{self.url}/control/requests").json()
        return [request for request in requests if request["path"] == path]

    def calls(self) -> list[dict[str, Any]]:
        """Give the chat completions that it received."""
        return self.received("/v1/chat/completions")


@contextmanager
def gpu(template: ChatTemplate) -> Iterator[Gpu]:
    """Serve a template at an address."""
    served = Gpu(template)
    with serving(served) as served.url:
        yield served
