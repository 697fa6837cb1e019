"""The HTTP API of a vLLM, with its failures told apart."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx

from .errors import BackendRefused, LearningFailed

SECONDS = 30.0
"""How long an answer may take. It takes milliseconds where neither the backend nor this process has
anything else to do."""


PAUSES_SECONDS = (0.0, 0.02, 0.1, 0.5)
"""When to ask again where the connection ends without an answer. A server closes connections that
were kept for the next request, many at once, and a busy process finds that out one by one. No
question changes anything, so that it can be put again."""

_QUOTED_CHARS = 200

_USERINFO = re.compile(r"//[^/@]*@")

# What aiohttp, LiteLLM's transport, says of each connection: another address in memory each time.
_SSL_CONTEXT = re.compile(r" ssl:<[^>]*>")


def root_of(base_url: str) -> str:
    """Give the address of a server without `/v1`, where what is not OpenAI's is served."""
    return base_url.rstrip("/").removesuffix("/v1").rstrip("/")


def headers_with(api_key: str | None, headers: Mapping[str, str]) -> dict[str, str]:
    """Give the headers of a request to a server, with its key unless they name another."""
    bearer = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    return {**bearer, **headers}


class VllmServer:
    """The HTTP API of a vLLM, with its failures told apart.

    Args:
        base_url: Its address, with or without `/v1`.
        api_key: Sent as the bearer token.
        client: The connections to use.
        headers: Further headers of every request.
        seconds: How long each answer may take.

    Attributes:
        root: The address without `/v1`, as it may be shown: without a user's name and password.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | None,
        client: httpx.AsyncClient,
        headers: Mapping[str, str],
        seconds: float,
    ) -> None:
        self._root = root_of(base_url)
        self.root = _USERINFO.sub("//", self._root)
        self._headers = headers_with(api_key, headers)
        self._client = client
        self._seconds = seconds

    async def models(self) -> list[dict[str, Any]]:
        """Give the cards of the served models.

        Raises:
            LearningFailed: The server cannot be reached, or tells none.
        """
        response = await self._send("GET", "/v1/models")
        if response.status_code != 200:
            raise self._failure("/v1/models", response)
        cards = _json(response).get("data")
        if not isinstance(cards, list) or not all(
            isinstance(card, dict) and "id" in card for card in cards
        ):
            raise LearningFailed(f"{self.root}: /v1/models names no models; is it a vLLM?")
        return cards

    async def shown(self, path: str) -> dict[str, Any]:
        """Give the JSON object at a path; an empty one where the server does not show it."""
        response = await self._send("GET", path)
        return _json(response) if response.status_code == 200 else {}

    async def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Post JSON and give the JSON object that answers it; an empty one if none does.

        Raises:
            BackendRefused: vLLM answered with a 400.
            LearningFailed: Anything else went wrong.
        """
        response = await self._send("POST", path, body)
        if response.status_code == 200:
            return _json(response)
        words = _words(response)
        if response.status_code == 400 and words:
            raise BackendRefused(words)
        raise self._failure(path, response)

    async def tokenize(self, body: Mapping[str, Any]) -> list[int]:
        """Give the tokens of the prompt that the server makes of a request.

        Raises:
            BackendRefused: It makes none, and says why.
            LearningFailed: The server cannot be asked.
        """
        tokens = (await self.post("/tokenize", body)).get("tokens")
        if not isinstance(tokens, list):
            raise LearningFailed(f"{self.root}: /tokenize gives no tokens; is it a vLLM?")
        return tokens

    async def detokenize(self, model: str, tokens: list[int]) -> str:
        """Give the text of tokens.

        Raises:
            LearningFailed: The server cannot be asked.
        """
        try:
            answer = await self.post("/detokenize", {"model": model, "tokens": tokens})
        except BackendRefused as refusal:
            words = one_line(str(refusal))
            raise LearningFailed(f"{self.root}: /detokenize: {words}") from refusal
        prompt = answer.get("prompt")
        if not isinstance(prompt, str):
            raise LearningFailed(f"{self.root}: /detokenize gives no text; is it a vLLM?")
        return prompt

    async def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> httpx.Response:
        try:
            return await self._answer(method, path, body)
        except httpx.TimeoutException as error:
            told = f"{self.root}: no answer within {self._seconds:g} s"
            raise LearningFailed(told) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = one_line(_SSL_CONTEXT.sub("", str(error))) or type(error).__name__
            raise LearningFailed(f"{self.root}: cannot be reached: {reason}") from error

    async def _answer(
        self, method: str, path: str, body: Mapping[str, Any] | None
    ) -> httpx.Response:
        for pause in PAUSES_SECONDS:
            with contextlib.suppress(httpx.NetworkError, httpx.RemoteProtocolError):
                return await self._once(method, path, body)
            await asyncio.sleep(pause)
        return await self._once(method, path, body)

    async def _once(self, method: str, path: str, body: Mapping[str, Any] | None) -> httpx.Response:
        url, seconds = self._root + path, self._seconds
        return await self._client.request(
            method, url, json=body, headers=self._headers, timeout=seconds
        )

    def _failure(self, path: str, response: httpx.Response) -> LearningFailed:
        status, words = response.status_code, _words(response)
        if status in (401, 403):
            given = "refuses the API key" if self._headers else "wants an API key"
            return LearningFailed(f"{self.root}: {given} ({status})")
        # vLLM's own 404 names the model; one of the web framework knows no such path.
        if status == 404 and "model" not in words:
            return LearningFailed(f"{self.root}: has no {path}; is it a vLLM?")
        if status == 404:
            return LearningFailed(f"{self.root}: {one_line(words)}")
        said = f": {one_line(words)}" if words else ""
        return LearningFailed(f"{self.root}: answered {path} with {status}{said}")


@contextlib.asynccontextmanager
async def connected(
    base_url: str,
    api_key: str | None,
    client: httpx.AsyncClient | None,
    headers: Mapping[str, str] | None = None,
    seconds: float = SECONDS,
) -> AsyncIterator[VllmServer]:
    if client is not None:
        yield VllmServer(base_url, api_key, client, headers or {}, seconds)
        return
    async with httpx.AsyncClient(verify=_certificates()) as own:
        yield VllmServer(base_url, api_key, own, headers or {}, seconds)


@functools.cache
def _certificates() -> ssl.SSLContext:
    """Give what httpx checks certificates with by default, which takes it 20 ms to read."""
    return httpx.create_ssl_context()


def _json(response: httpx.Response) -> dict[str, Any]:
    try:
        answer = response.json()
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _words(response: httpx.Response) -> str:
    """Give the message of an error: under `error`, or in older releases at the top."""
    answer = _json(response)
    error = answer.get("error", answer)
    words = error.get("message", "") if isinstance(error, dict) else error
    return words if isinstance(words, str) else ""


def one_line(words: str) -> str:
    return " ".join(words.split())[:_QUOTED_CHARS]
