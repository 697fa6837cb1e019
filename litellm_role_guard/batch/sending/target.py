"""Where the requests of a batch go: a LiteLLM proxy, or any server with OpenAI's API."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp

from ...backend.key_refusal import is_about_the_key
from ...backend.server import headers_with, one_line, root_of
from ...observability.report import HEADER
from ..errors import BadTarget
from .request import BatchRequest
from .retries import retry_after

# Shorter than uvicorn keeps an idle connection, or a request could go into one that closes.
_IDLE_SECONDS = 2.0

_COUNT = re.compile(r"([a-z_]+)=(\d+)")

_LISTING_SECONDS = 60.0

_NAMES_SHOWN = 8


@dataclass(frozen=True)
class Answer:
    """What came back of one try.

    Attributes:
        status: The HTTP status; None where there was no whole answer.
        body: Its JSON; its text where it is none.
        words: The error's words, or those of the connection; empty for an answer.
        request_id: What the server calls the request.
        retry_after: The seconds for which the server wants to be left alone.
        changes: How many changes of each kind the guard made.
    """

    status: int | None
    body: Any = None
    words: str = ""
    request_id: str | None = None
    retry_after: float | None = None
    changes: Mapping[str, int] | None = None


class Target(Protocol):
    """Answers requests."""

    async def ask(self, request: BatchRequest) -> Answer:
        """Return the answer to one try; what goes wrong is an answer, too."""


class HttpTarget:
    """A server with OpenAI's API.

    Args:
        url: Its address, with or without `/v1`.
        session: The connections.
        seconds: How long one try may take.

    Attributes:
        root: Its address without `/v1`.
    """

    def __init__(self, url: str, session: aiohttp.ClientSession, seconds: float) -> None:
        self.root = root_of(url)
        self._session = session
        self._timeout = aiohttp.ClientTimeout(total=seconds)
        self._seconds = seconds

    async def ask(self, request: BatchRequest) -> Answer:
        """Send a request once."""
        return await self.post(request.url, request.body)

    async def post(self, path: str, body: Mapping[str, Any]) -> Answer:
        """Post a body once, and return the answer."""
        data = json.dumps(body, ensure_ascii=False).encode()
        return await self._answer("POST", path, data, self._timeout)

    async def models(self) -> list[str] | None:
        """Return the names of the served models; None where the server does not list them.

        Raises:
            BadTarget: The server cannot be reached, or refuses the key.
        """
        listing = aiohttp.ClientTimeout(total=min(self._seconds, _LISTING_SECONDS))
        answer = await self._answer("GET", "/v1/models", None, listing)
        if answer.status is None:
            raise BadTarget(f"{self.root}: cannot be reached: {answer.words}")
        if is_about_the_key(answer.status, has_key="Authorization" in self._session.headers):
            words = f": {answer.words}" if answer.status == 400 else ""
            raise BadTarget(f"{self.root}: {_key_problem(self._session, answer.status)}{words}")
        data = answer.body.get("data") if isinstance(answer.body, Mapping) else None
        if answer.status != 200 or not isinstance(data, list):
            return None
        return [str(card["id"]) for card in data if isinstance(card, Mapping) and "id" in card]

    async def _answer(
        self, method: str, path: str, data: bytes | None, timeout: aiohttp.ClientTimeout
    ) -> Answer:
        try:
            async with self._session.request(
                method, self.root + path, data=data, timeout=timeout
            ) as response:
                written = await response.read()
                return _read(response.status, response.headers, written)
        except asyncio.TimeoutError:  # the builtin one from Python 3.11 on
            return Answer(None, words=f"no answer within {timeout.total:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Answer(None, words=one_line(str(error)) or type(error).__name__)


def _key_problem(session: aiohttp.ClientSession, status: int) -> str:
    if status == 500:
        problem = "fails, as LiteLLM does without an API key"
    elif "Authorization" in session.headers:
        problem = "refuses the API key"
    else:
        problem = "wants an API key"
    return f"{problem} ({status}): --api-key, ROLE_GUARD_API_KEY"


def some_of(names: list[str]) -> str:
    """Return names as one line, however many there are."""
    more = len(names) - _NAMES_SHOWN
    shown = ", ".join(map(one_line, names[:_NAMES_SHOWN]))
    return f"{shown} and {more} more" if more > 0 else shown


@contextlib.asynccontextmanager
async def connections(api_key: str | None, most: int) -> AsyncIterator[aiohttp.ClientSession]:
    """Yield connections for a batch.

    Args:
        api_key: Sent as the bearer token.
        most: The most requests under way at once.
    """
    headers = headers_with(api_key, {"Content-Type": "application/json"})
    connector = aiohttp.TCPConnector(limit=most + 8, keepalive_timeout=_IDLE_SECONDS)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        yield session


def _read(status: int, headers: Mapping[str, str], written: bytes) -> Answer:
    try:
        body = json.loads(written)
    except (ValueError, RecursionError):
        # An answer that is no JSON was cut, or is not from the model.
        words = one_line(written[:1000].decode(errors="replace")) or f"status {status}"
        status_or_none = None if status == 200 else status
        return Answer(status_or_none, words, words, retry_after=retry_after(headers))
    named = headers.get("x-litellm-call-id") or headers.get("x-request-id")
    if named is None and isinstance(body, Mapping) and isinstance(body.get("id"), str):
        named = body["id"]
    changes = {what: int(count) for what, count in _COUNT.findall(headers.get(HEADER, ""))}
    words = "" if status == 200 else _words(body) or f"status {status}"
    return Answer(status, body, words, named, retry_after(headers), Counter(changes))


def _words(body: Any) -> str:
    error = body.get("error", body) if isinstance(body, Mapping) else body
    words = error.get("message") if isinstance(error, Mapping) else error
    return words if isinstance(words, str) else ""
