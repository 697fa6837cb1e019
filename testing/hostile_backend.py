"""Backends that mean harm, and serve chat all the same.

    python -m testing.hostile_backend PORT

`/{kind}/{any}/v1/chat/completions` is a strict simulated vLLM, whose refusals come as the kind
sends all it sends: packed, long, byte by byte. Whatever else is asked below `/{kind}/{any}/`, the
kind answers in its own way. `GET /thief?tell` tells how often a redirect was followed. A kind that
begins with `late-` says what it serves as a vLLM does, and does harm where it is asked to render;
one that begins with `tired-` renders well a hundred times, and does harm then.
"""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import random
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from litellm_role_guard import ChatTemplate
from litellm_role_guard.simulator import create_app

from .templates import OURS, STRICT

MODEL = "m"
WORDS = b"Conversation roles must alternate user/assistant/user/assistant/... "
REFUSAL_BYTES = 2**18
"""How long a refusal is that has an end."""

JSON = {"content-type": "application/json"}

_ZEROS = gzip.compress(bytes(2**26))
_PIECE = b"x" * 2**20
_DEEP = b"[" * 200_000
_WIDE = b'{"tokens": [1], "token_ids": [1], "x": [' + b"[]," * 5_000_000 + b"1]}"
_LONG = json.dumps({"tokens": [1] * 500_000, "token_ids": [1] * 500_000}).encode()
_LOOP = "{% for a in range(9999) %}" * 3 + "{% endfor %}" * 3
_HUGE = "{% set x = 'x' * 10 ** 9 %}{{ x ~ x ~ x }}"
_SWOLLEN = "{% for m in messages %}{{ m.role ~ ': ' ~ m.content ~ '[a' * 10 ** 6 }}{% endfor %}"
_BOOK = "x" * (15 * 2**20)
_BOOK_REFUSAL = json.dumps({"error": {"message": _BOOK}}).encode()
_LITERALS = (
    "{% for m in messages %}"
    + "".join(
        "{% if loop.index0 == "
        + str(turn)
        + " %}"
        + "".join(f"<|a{turn * 300 + at}|>" for at in range(300))
        + "{% endif %}"
        for turn in range(8)
    )
    + "{{ m.content }}{% endfor %}"
)

Sent = tuple[int, Mapping[str, str], AsyncIterator[bytes]]
"""A status, headers and the pieces of a body."""


async def _bomb() -> AsyncIterator[bytes]:
    while True:  # 64 kB each, which stand for 64 MB
        yield _ZEROS


async def _flood() -> AsyncIterator[bytes]:
    while True:
        yield _PIECE


async def _drip() -> AsyncIterator[bytes]:
    while True:
        yield b" "
        await asyncio.sleep(0.05)


async def _nonsense() -> AsyncIterator[bytes]:
    odd: list[Any] = [["x"], [None], [1.5], [-1], [2**70], {}, "12", None, [[1]], [True]]
    chosen = random.choice(odd)
    yield random.choice([_DEEP, json.dumps({"tokens": chosen, "prompt": chosen}).encode()])


async def _chatty() -> AsyncIterator[bytes]:
    # The same to every question: tokens, and their text.
    text = "zq00vx " + "[" + "a" * 120
    yield json.dumps({"tokens": list(range(30_000)), "prompt": text * 100_000}).encode()


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body


_ANSWERS: Mapping[str, Callable[[], Sent]] = MappingProxyType(
    {
        "bomb": lambda: (200, {"content-encoding": "gzip"}, _bomb()),
        "flood": lambda: (200, {}, _flood()),
        "drip": lambda: (200, {}, _drip()),
        "redirect": lambda: (307, {"location": "/thief"}, _once(b"")),
        "nonsense": lambda: (200, {}, _nonsense()),
        "wide": lambda: (200, {}, _once(_WIDE)),
        "tokens": lambda: (200, {}, _once(_LONG)),
        "chatty": lambda: (200, {}, _chatty()),
        "words": lambda: (400, JSON, _once(_BOOK_REFUSAL)),
    }
)


async def _dripped(body: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(body), 16):
        yield body[at : at + 16]
        await asyncio.sleep(0.05)


@cache
def _long(body: bytes) -> bytes:
    """Return a refusal whose words repeat themselves until it is long."""
    error = json.loads(body)
    error["error"]["message"] = (WORDS * (REFUSAL_BYTES // len(WORDS))).decode()
    return json.dumps(error).encode()


@cache
def _packed(body: bytes) -> bytes:
    return gzip.compress(_long(body))


_REFUSALS: Mapping[str, Callable[[bytes], tuple[Mapping[str, str], AsyncIterator[bytes]]]] = (
    MappingProxyType(
        {
            "bomb": lambda body: (
                {"content-encoding": "gzip"},
                _once(_packed(body)),
            ),
            "flood": lambda body: ({}, _once(_long(body))),
            "drip": lambda body: ({}, _dripped(body)),
            "nonsense": lambda body: ({}, _once(_DEEP + body)),
        }
    )
)

SHOWN: Mapping[str, str] = MappingProxyType(
    {"loop": _LOOP, "memory": _HUGE, "swollen": _SWOLLEN, "book": _BOOK, "literals": _LITERALS}
)
"""What a kind shows as its template; all else it answers as a vLLM does."""

KINDS = ("bomb", "flood", "drip", "redirect", "nonsense", "loop", "memory", "fickle")
"""`fickle` renders with another template each time that it is asked."""

LEARNT_FROM = (
    *("bomb", "flood", "drip", "redirect", "nonsense", "late-flood", "late-drip", "late-nonsense"),
    *("late-wide", "late-tokens", "late-chatty", "late-words", "tired-drip"),
    *(*SHOWN, "fickle"),
)
"""What a learner may meet from the first question on: too many bytes, values, tokens, words."""

_HONEST = ("/v1/models", "/version", "/tokenizer_info")

_HONEST_ANSWERS = 100
"""How many questions a tired kind answers well; a learner has more than 200."""


class HostileBackend:
    """All kinds behind one port."""

    def __init__(self) -> None:
        self._chat = create_app(ChatTemplate.from_path(STRICT), model=MODEL)
        self._fickle = itertools.cycle(
            create_app(ChatTemplate.from_path(path), model=MODEL) for path in OURS
        )
        self._followed = 0
        self._honest_answers = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        _, kind, *rest = scope["path"].split("/", 3)
        path = "/" + (rest[-1] if rest else "")
        inner = {**scope, "path": path, "raw_path": path.encode()}
        given, kind = kind, kind.removeprefix("late-").removeprefix("tired-")
        if kind == "health":
            await _send(receive, send, (200, {}, _once(b"{}")))
        elif kind == "thief":
            self._followed += scope["method"] == "POST" or not scope["query_string"]
            await _send(receive, send, (200, {}, _once(b"%d" % self._followed)))
        elif path == "/v1/chat/completions":
            await self._chat(inner, receive, _refusing(kind, receive, send))
        elif kind in _ANSWERS and not self._is_honest(given, path):
            await _send(receive, send, _ANSWERS[kind]())
        elif kind in SHOWN and path == "/tokenizer_info":
            shown = json.dumps({"tokenizer_class": "Gemma", "chat_template": SHOWN[kind]})
            await _send(receive, send, (200, JSON, _once(shown.encode())))
        else:
            await self._vllm(kind)(inner, receive, send)

    def _is_honest(self, kind: str, path: str) -> bool:
        """Return whether a kind that comes to harm late answers this as a vLLM does."""
        if kind.startswith("tired-") and path not in _HONEST:
            self._honest_answers += 1
            return self._honest_answers <= _HONEST_ANSWERS
        return kind.startswith(("late-", "tired-")) and path in _HONEST

    def _vllm(self, kind: str) -> ASGIApp:
        app: FastAPI = next(self._fickle) if kind == "fickle" else self._chat
        return app


def _refusing(kind: str, receive: Receive, send: Send) -> Send:
    """Return a `send` that hands a 400 over in the way of its kind."""
    refusing = False

    async def send_or_refuse(message: Message) -> None:
        nonlocal refusing
        if message["type"] == "http.response.start":
            refusing = message["status"] == 400 and kind in _REFUSALS
        if not refusing:
            await send(message)
        elif message["type"] == "http.response.body":
            headers, pieces = _REFUSALS[kind](message["body"])
            await _send(receive, send, (400, {**JSON, **headers}, pieces))

    return send_or_refuse


async def _send(receive: Receive, send: Send, answer: Sent) -> None:
    status, headers, pieces = answer
    # uvicorn takes what is sent to nobody, so that an answer without end would never end.
    gone = asyncio.ensure_future(_disconnect(receive))
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    try:
        async for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(0)
            if gone.done():
                return
        await send({"type": "http.response.body", "body": b""})
    finally:
        gone.cancel()


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


if __name__ == "__main__":
    uvicorn.run(HostileBackend(), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
