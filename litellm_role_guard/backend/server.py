"""The HTTP API of a vLLM: its answers, its refusals, and its failures in one line each."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any, TypeGuard

import httpx

from .address import address_fault, shown_address
from .answer import AnswerTooLong, has_few_values, read_answer
from .backend import LIMIT_SECONDS, Backend
from .errors import BackendRefused, KeyRefused, LearningFailed

PAUSES_SECONDS = (0.0, 0.02, 0.1, 0.5)
"""The pauses before each retry of a request whose connection ended without an answer. A server
closes many kept connections at once, and a busy process finds that out one by one. No request
here changes anything, so that sending it again is safe."""

WHOLE_ANSWER = 2
"""How many times longer than a piece of it a whole answer may take."""

MAX_VALUES_IN_ALL = 2**23
"""How many values all answers of a connection may have. Some 500 questions are answered with
300,000 tokens, and with two million where each prompt has long instructions."""


RENDER = "/v1/chat/completions/render"
"""Where a vLLM with `--enable-scale-out`, and `vllm launch render`, tell what chat reads."""

# What vLLM 0.32 says where tools are given and no parser of calls is set
# (`renderers/online_renderer.py`, `render_chat`).
_NO_PARSER = "tool choice requires"

_QUOTED_CHARS = 200

# What aiohttp, LiteLLM's transport, says of each connection: another address in memory each time.
_SSL_CONTEXT = re.compile(r" ssl:<[^>]*>")


def root_of(base_url: str) -> str:
    """Return the address without `/v1`, where vLLM serves what is not OpenAI's."""
    return base_url.rstrip("/").removesuffix("/v1").rstrip("/")


def headers_with(api_key: str | None, headers: Mapping[str, str]) -> dict[str, str]:
    """Return request headers with the API key, unless `headers` has an authorization already."""
    bearer = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    return {**bearer, **headers}


class VllmServer:
    """The HTTP API of a vLLM.

    A refusal of a request raises `BackendRefused`; every other failure raises `LearningFailed`.

    Args:
        backend: The vLLM.
        client: The connections to use.
        seconds: How long each answer may take.

    Attributes:
        backend: The vLLM.
        root: The address without `/v1`, as a log may show it: without a credential.
    """

    def __init__(self, backend: Backend, client: httpx.AsyncClient, seconds: float) -> None:
        self.backend = backend
        self._root = root_of(backend.url)
        self.root = root_of(shown_address(backend.url))
        self._headers = headers_with(backend.api_key, backend.headers)
        self._client = client
        self._seconds = seconds
        self._renders: bool | None = None  # whether `RENDER` is open; None until it was asked
        self._choice: dict[str, str] = {}  # the tool choice that goes with tools
        self._values = 0  # in the answers so far

    async def models(self) -> list[dict[str, Any]]:
        """Return the cards of the served models, as `/v1/models` lists them.

        Raises:
            LearningFailed: The server cannot be reached, or lists none.
        """
        response = await self._send("GET", "/v1/models")
        if response.status_code != 200:
            raise self._failure("/v1/models", response)
        cards = _json(response).get("data")
        if not isinstance(cards, list) or not all(
            isinstance(card, dict) and isinstance(card.get("id"), str) for card in cards
        ):
            raise LearningFailed(f"{self.root}: /v1/models names no models; is it a vLLM?")
        return cards

    async def response(self, path: str) -> httpx.Response:
        """Return the response at a path, whatever its status.

        Raises:
            LearningFailed: The server cannot be reached.
        """
        return await self._send("GET", path)

    async def shown(self, path: str) -> dict[str, Any]:
        """Return the JSON object at a path; an empty one if the server does not show it."""
        response = await self._send("GET", path)
        return _json(response) if response.status_code == 200 else {}

    async def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Post JSON and return the JSON object of the answer; an empty one if it has none.

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

    async def prompt_tokens(self, body: Mapping[str, Any]) -> list[int]:
        """Return the tokens of the prompt that the server makes of a conversation.

        What a chat request is rendered by tells it best, and is asked where it is open: of
        gpt-oss, among others, `/tokenize` shows a prompt that no model reads.

        Args:
            body: As `conversation_body` returns it.

        Raises:
            BackendRefused: The server refuses to make one, in these words.
            LearningFailed: The server cannot be asked.
        """
        if self._renders is False:
            return await self.tokenize(body)
        response = await self._send("POST", RENDER, {**body, **self._choice_with(body)})
        words = _words(response)
        if response.status_code == 400 and _NO_PARSER in words and not self._choice_with(body):
            # Without a parser vLLM takes tools with this choice only, and shows them all the same.
            self._choice = {"tool_choice": "none"}
            return await self.prompt_tokens(body)
        if response.status_code == 400 and words:
            self._renders = True
            raise BackendRefused(words)
        tokens = _json(response).get("token_ids") if response.status_code == 200 else None
        if _are_tokens(tokens):
            self._renders = True
            return tokens
        if self._renders:
            raise self._failure(RENDER, response)
        self._renders = False
        return await self.tokenize(body)

    def _choice_with(self, body: Mapping[str, Any]) -> dict[str, str]:
        return self._choice if body.get("tools") else {}

    async def tokenize(self, body: Mapping[str, Any]) -> list[int]:
        """Return the tokens of the prompt that the server makes of a `/tokenize` request.

        Raises:
            BackendRefused: The server refuses to make one, in these words.
            LearningFailed: The server cannot be asked.
        """
        tokens = (await self.post("/tokenize", body)).get("tokens")
        if not _are_tokens(tokens):
            raise LearningFailed(f"{self.root}: /tokenize gives no tokens; is it a vLLM?")
        return tokens

    async def detokenize(self, tokens: list[int]) -> str:
        """Return the text of tokens.

        Raises:
            LearningFailed: The server cannot be asked.
        """
        try:
            body = {"model": self.backend.model, "tokens": tokens}
            answer = await self.post("/detokenize", body)
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
        fault = address_fault(self._root)
        if fault is not None:  # of a port above 65535 asyncio raises what is no error of httpx's
            raise LearningFailed(f"{self.root}: {fault}")
        try:
            response = await self._answer(method, path, body)
        except (httpx.TimeoutException, asyncio.TimeoutError) as error:
            message = f"{self.root}: no answer within {self._seconds:g} s"
            raise LearningFailed(message) from error
        except AnswerTooLong as error:
            raise LearningFailed(f"{self.root}: {path}: {error}") from error
        # A ValueError is aiohttp's, by which LiteLLM's clients ask: it sends no key beside a
        # password in the address.
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            reason = one_line(_SSL_CONTEXT.sub("", str(error))) or type(error).__name__
            raise LearningFailed(f"{self.root}: cannot be reached: {reason}") from error
        self._values += response.content.count(b",")
        if self._values > MAX_VALUES_IN_ALL or not has_few_values(response.content):
            raise LearningFailed(f"{self.root}: {path}: the answer has too many values")
        return response

    async def _answer(
        self, method: str, path: str, body: Mapping[str, Any] | None
    ) -> httpx.Response:
        for pause in PAUSES_SECONDS:
            with contextlib.suppress(httpx.NetworkError, httpx.RemoteProtocolError):
                return await self._once(method, path, body)
            await asyncio.sleep(pause)
        return await self._once(method, path, body)

    async def _once(self, method: str, path: str, body: Mapping[str, Any] | None) -> httpx.Response:
        answer = read_answer(
            self._client,
            method,
            self._root + path,
            body=body,
            headers=self._headers,
            seconds=self._seconds,
        )
        # httpx has a time limit for each piece of an answer, and none for all of it.
        return await asyncio.wait_for(answer, WHOLE_ANSWER * self._seconds)

    def _failure(self, path: str, response: httpx.Response) -> LearningFailed:
        status, words = response.status_code, _words(response)
        if status in (401, 403):
            problem = "refuses the API key" if self._headers else "wants an API key"
            return KeyRefused(f"{self.root}: {problem} ({status})")
        # vLLM's own 404 names the model; one of the web framework knows no such path.
        if status == 404 and "model" not in words:
            return LearningFailed(f"{self.root}: has no {path}; is it a vLLM?")
        if status == 404:
            return LearningFailed(f"{self.root}: {one_line(words)}")
        reason = f": {one_line(words)}" if words else ""
        return LearningFailed(f"{self.root}: answered {path} with {status}{reason}")


@contextlib.asynccontextmanager
async def connected(backend: Backend, seconds: float = LIMIT_SECONDS) -> AsyncIterator[VllmServer]:
    """Yield the HTTP API of a backend, over its connections.

    Args:
        backend: The vLLM.
        seconds: How long each answer may take.
    """
    async with backend.client() as client:
        yield VllmServer(backend, client, seconds)


def _json(response: httpx.Response) -> dict[str, Any]:
    try:
        answer = response.json()
    except (ValueError, RecursionError):  # nested deeper than anybody's
        return {}
    return answer if isinstance(answer, dict) else {}


def _are_tokens(tokens: object) -> TypeGuard[list[int]]:
    return isinstance(tokens, list) and set(map(type, tokens)) <= {int}


def _words(response: httpx.Response) -> str:
    """Return the message of an error: under `error`, or at the top in older vLLM releases."""
    answer = _json(response)
    error = answer.get("error", answer)
    words = error.get("message", "") if isinstance(error, dict) else error
    return words if isinstance(words, str) else ""


def one_line(words: str) -> str:
    """Return the beginning of a text, on one line, without signs that a terminal would obey."""
    begun = "".join(sign if sign.isprintable() else " " for sign in words[: 2 * _QUOTED_CHARS])
    return " ".join(begun.split())[:_QUOTED_CHARS]
