"""Which models a backend serves, and what a profile of it holds for."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from itertools import islice
from typing import Any, NamedTuple

from .backend import LIMIT_SECONDS, Backend
from .errors import ModelNotServed
from .server import connected, one_line
from .tasks import gather_or_cancel

NAMES_SHOWN = 5
"""How many of a server's models an error names if another one was asked for."""

MAX_NAME = 4096
"""How many characters of a server's version, or of a path, are one."""

TEMPLATE_KEY = "chat_template"  # its key in /tokenizer_info


class BackendIdentity(NamedTuple):
    """What a profile that was learnt from a live backend holds for.

    Attributes:
        version: The server's version, if it names one.
        root: The path or repository of the served model, if the server names one.
        template: The SHA-256 of the chat template in hex, if the server shows the template.
    """

    version: str | None
    root: str | None
    template: str | None


async def served_models(backend: Backend) -> list[str]:
    """Return the names of the models that a vLLM serves.

    Args:
        backend: The vLLM; its `model` does not matter.

    Raises:
        LearningFailed: The backend cannot be reached, or names no models.
    """
    async with connected(backend) as server:
        return [str(card["id"]) for card in await server.models()]


async def shown_tokenizer(backend: Backend) -> dict[str, Any]:
    """Return what a server shows of its tokenizer, the template among it; {} if it shows nothing.

    Args:
        backend: The vLLM; its `model` does not matter.

    Raises:
        LearningFailed: The server cannot be reached.
    """
    async with connected(backend) as server:
        await server.models()  # otherwise an unreachable server would look like one that hides it
        return await server.shown("/tokenizer_info")


async def read_identity(backend: Backend, *, seconds: float = LIMIT_SECONDS) -> BackendIdentity:
    """Return what a profile of this backend holds for, as far as the backend shows it.

    Args:
        backend: The vLLM.
        seconds: How long each answer may take.

    Raises:
        ModelNotServed: The vLLM serves other models.
        LearningFailed: The backend cannot be reached, or not in time.
    """
    async with connected(backend, seconds) as server:
        cards = {card["id"]: card for card in await server.models()}
        if backend.model not in cards:
            model = one_line(backend.model)
            raise ModelNotServed(f"{server.root}: no model '{model}', but {_some(cards)}")
        paths = ("/version", "/tokenizer_info")
        about, tokenizer = await gather_or_cancel(map(server.shown, paths))
    root, template = cards[backend.model].get("root"), tokenizer.get(TEMPLATE_KEY)
    return BackendIdentity(
        _string(about.get("version")),
        _string(root),
        hashlib.sha256(template.encode()).hexdigest() if isinstance(template, str) else None,
    )


def _string(value: object) -> str | None:
    return value if isinstance(value, str) and len(value) <= MAX_NAME else None


def _some(names: Collection[object]) -> str:
    """Return names as one line, however many there are."""
    shown = ", ".join(one_line(str(name)) for name in islice(names, NAMES_SHOWN))
    more = len(names) - NAMES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
