"""GET, DELETE and `input_items` of the responses that the guard has stored.

A vLLM without a store answers them with 404 and 405. LiteLLM has the guard's hook run for them, and
sends them through the client among the arguments, which can answer in the backend's place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx

from ..config.settings import DeploymentSettings
from ..endpoints.response_store import ResponseStore
from ..endpoints.stored_answers import PageError, deletion, input_items, response_object
from ..endpoints.stored_turn import StoredTurn
from . import litellm_internals
from .borrowing_client import BorrowingClient
from .litellm_internals import AsyncHTTPHandler, http_handler, named_by_backend
from .request import LiteLLMRequest
from .unknown_response import bad_request, why_unknown

READ, DELETE, LIST = "aget_responses", "adelete_responses", "alist_input_items"

STORED_CALLS = frozenset((READ, DELETE, LIST))
"""LiteLLM's call types for a response that was given before."""

_FIELD = "response_id"

_PAGE_FIELDS = ("limit", "order", "after", "before")

_NOT_THERE = (404, 405)


class StoredResponses:
    """Answers for a backend what is asked about stored responses.

    Args:
        store: The responses.
    """

    def __init__(self, store: ResponseStore) -> None:
        self._store = store

    def client(
        self, request: LiteLLMRequest, call_type: str, settings: DeploymentSettings
    ) -> StoredResponseClient | None:
        """Return the client that LiteLLM is to make the call with; None for its own.

        Args:
            request: The call.
            call_type: One of `STORED_CALLS`.
            settings: Those that hold for the call.
        """
        shown_id = request.arguments.get(_FIELD)
        is_guards = settings.mode == "repair" and request.is_sent_as_vllm
        if not isinstance(shown_id, str) or not is_guards or not litellm_internals.AVAILABLE:
            return None
        inner = http_handler(request.arguments)
        if not isinstance(inner, AsyncHTTPHandler):
            return None
        response_id = named_by_backend(shown_id)
        answer: StoredAnswer | None = None
        unknown = bad_request(why_unknown(_FIELD, settings), _FIELD)
        turn = self._store.turn(request.owner, response_id)
        if self._store.is_deleted(request.owner, response_id):
            # A backend with a store of its own would know it still.
            answer = StoredAnswer(unknown, 400)
        elif settings.remember_responses and turn is not None:
            answer = self._answer(request, call_type, response_id, turn)
        given = {"client": request.arguments.get("client")}
        return StoredResponseClient(inner, given, answer, unknown)

    def _answer(
        self, request: LiteLLMRequest, call_type: str, response_id: str, turn: StoredTurn
    ) -> StoredAnswer:
        if call_type == READ:
            return StoredAnswer(response_object(response_id, turn))  # LiteLLM gives it its own id
        if call_type == DELETE:
            # Not before LiteLLM makes the call, which may still fail.
            delete = partial(self._store.delete, request.owner, response_id)
            return StoredAnswer(deletion(request.shown_response_id), on_sent=delete)
        try:
            return StoredAnswer(input_items(turn, _page(request)))
        except PageError as error:
            return StoredAnswer(bad_request(str(error), str(error).partition(":")[0]), 400)


@dataclass(frozen=True)
class StoredAnswer:
    """What to answer in the backend's place.

    Attributes:
        body: The body.
        status: The status.
        on_sent: Called as it is answered.
    """

    body: Mapping[str, Any]
    status: int = 200
    on_sent: Callable[[], object] = dict

    def response(self, method: str, url: str) -> httpx.Response:
        """Return the answer to a request."""
        self.on_sent()
        return httpx.Response(self.status, json=self.body, request=httpx.Request(method, url))


class StoredResponseClient(BorrowingClient):
    """A handler that answers itself, or has the backend answer and explains that it cannot.

    LiteLLM takes a deployment that answers 404 out of use for a while, for everybody.

    Args:
        inner: As for `BorrowingClient`.
        given: As for `BorrowingClient`.
        answer: What to answer; None where the backend is to be asked.
        unknown: What to answer, as a 400, where the backend does not know the response.
    """

    def __init__(
        self,
        inner: AsyncHTTPHandler,
        given: Mapping[str, Any] | None,
        answer: StoredAnswer | None,
        unknown: Mapping[str, Any],
    ) -> None:
        super().__init__(inner, given)
        self._answer = answer
        self._unknown = StoredAnswer(unknown, 400)

    @property
    def answers(self) -> bool:
        """Whether it gives what is asked for."""
        return self._answer is not None and self._answer.status == 200

    def copied(self, given: Mapping[str, Any]) -> StoredResponseClient:
        """Return a client with the same answer."""
        return StoredResponseClient(self._inner, given, self._answer, self._unknown.body)

    async def get(self, url: str, *args: Any, **kwargs: Any) -> httpx.Response:
        """Answer, or pass on what the backend answers.

        Args:
            url: Where to get it.
            *args: As for LiteLLM's handler.
            **kwargs: As for LiteLLM's handler.
        """
        if self._answer is not None:
            return self._answer.response("GET", url)
        response: httpx.Response = await self._inner.get(url, *args, **kwargs)
        if response.status_code in _NOT_THERE:
            return self._unknown.response("GET", url)
        return response

    async def delete(self, url: str, *args: Any, **kwargs: Any) -> httpx.Response:
        """Answer, or pass on what the backend answers.

        Args:
            url: What to delete.
            *args: As for LiteLLM's handler.
            **kwargs: As for LiteLLM's handler.

        Raises:
            httpx.HTTPStatusError: The answer is an error.
        """
        if self._answer is not None:
            return self._answer.response("DELETE", url).raise_for_status()
        try:
            passed_on: httpx.Response = await self._inner.delete(url, *args, **kwargs)
            return passed_on
        except httpx.HTTPStatusError as error:
            if error.response.status_code not in _NOT_THERE:
                raise
        return self._unknown.response("DELETE", url).raise_for_status()


def _page(request: LiteLLMRequest) -> dict[str, str]:
    """Return which page is asked for.

    The proxy does not read the query of a GET; it keeps the address, in which the query stands.
    """
    received = request.arguments.get("proxy_server_request")
    url = received.get("url") if isinstance(received, Mapping) else None
    asked = {name: request.arguments.get(name) for name in _PAGE_FIELDS}
    asked |= dict(parse_qsl(urlsplit(str(url)).query)) if url else {}
    return {name: str(asked[name]) for name in _PAGE_FIELDS if asked[name] is not None}
