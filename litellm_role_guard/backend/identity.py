"""Which models a backend serves, and what a profile of it holds for."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from itertools import islice
from typing import Any, NamedTuple

import httpx

from .errors import ModelNotServed
from .server import SECONDS, VllmServer, connected, one_line
from .tasks import gather_or_cancel

NAMES_SHOWN = 5
"""How many of a server's models are named where another one was asked for."""

TEMPLATE_KEY = "chat_template"  # its key in /tokenizer_info


class BackendIdentity(NamedTuple):
    """What a profile that was learnt from a live backend holds for.

    Attributes:
        version: The server's version, where it tells one.
        root: The path or repository of the served model, where it tells one.
        template: The SHA-256 of the chat template in hex, where the server shows the template.
    """

    version: str | None
    root: str | None
    template: str | None


async def served_models(
    base_url: str, api_key: str | None = None, *, client: httpx.AsyncClient | None = None
) -> list[str]:
    """Give the names of the models that a vLLM serves.

    Args:
        base_url: The server's address, with or without `/v1`.
        api_key: Sent as the bearer token.
        client: The connections to use, which stay the caller's.

    Raises:
        LearningFailed: The backend cannot be reached, or tells no names.
    """
    async with connected(base_url, api_key, client) as server:
        return [str(card["id"]) for card in await server.models()]


async def shown_tokenizer(base_url: str, api_key: str | None = None) -> dict[str, Any]:
    """Give what a server shows of its tokenizer, the template among it; {} where it shows nothing.

    Args:
        base_url: The server's address, with or without `/v1`.
        api_key: Sent as the bearer token.

    Raises:
        LearningFailed: The server cannot be reached.
    """
    async with connected(base_url, api_key, None, None) as server:
        await server.models()  # or a server that is not there would show nothing, too
        return await server.shown("/tokenizer_info")


async def read_identity(
    base_url: str,
    model: str,
    api_key: str | None = None,
    *,
    client: httpx.AsyncClient | None = None,
    seconds: float = SECONDS,
    headers: Mapping[str, str] | None = None,
) -> BackendIdentity:
    """Give what a profile of this backend holds for, as far as the backend tells.

    Args:
        base_url: The server's address, with or without `/v1`.
        model: The name of a served model.
        api_key: Sent as the bearer token.
        client: The connections to use, which stay the caller's.
        seconds: How long each answer may take.
        headers: Further headers of every request.

    Raises:
        ModelNotServed: It serves others.
        LearningFailed: The backend cannot be reached, or not in time.
    """
    async with connected(base_url, api_key, client, headers, seconds) as server:
        return await identity_of(server, model)


async def identity_of(server: VllmServer, model: str) -> BackendIdentity:
    cards = {card["id"]: card for card in await server.models()}
    if model not in cards:
        raise ModelNotServed(f"{server.root}: no model '{one_line(model)}', but {_some(cards)}")
    about, tokenizer = await gather_or_cancel(map(server.shown, ("/version", "/tokenizer_info")))
    version, root, text = (
        about.get("version"),
        cards[model].get("root"),
        tokenizer.get(TEMPLATE_KEY),
    )
    return BackendIdentity(
        version if isinstance(version, str) else None,
        root if isinstance(root, str) else None,
        hashlib.sha256(text.encode()).hexdigest() if isinstance(text, str) else None,
    )


def _some(names: Collection[object]) -> str:
    """Give names as one line, however many there are."""
    shown = ", ".join(one_line(str(name)) for name in islice(names, NAMES_SHOWN))
    more = len(names) - NAMES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
