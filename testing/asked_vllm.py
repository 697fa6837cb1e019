"""Simulated vLLM servers to put questions to, with and without a socket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from litellm_role_guard import ChatTemplate
from litellm_role_guard.simulator import create_app

from .serving import serving

MODEL = "simulated"
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}


Answer = Callable[[httpx.Request], httpx.Response]


@contextmanager
def simulated(path: Path) -> Iterator[str]:
    """Serve a template; give the address."""
    with serving(create_app(ChatTemplate.from_path(path), model=MODEL)) as url:
        yield url


def asking(answer: Answer) -> httpx.AsyncClient:
    """Give a client that is answered without a network."""
    return httpx.AsyncClient(transport=httpx.MockTransport(answer))


def behind(template: ChatTemplate, log: list[httpx.Request], **shown: Any) -> httpx.AsyncClient:
    """Give a client of the simulator, in this process, that also shows `/tokenizer_info`."""
    app = FastAPI()

    @app.get("/tokenizer_info")
    async def tokenizer_info() -> dict[str, Any]:
        return {"tokenizer_class": "Gemma", **shown}

    app.mount("/", create_app(template, model=MODEL))

    async def note(request: httpx.Request) -> None:
        log.append(request)

    hooks = {"request": [note]}
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), event_hooks=hooks)
