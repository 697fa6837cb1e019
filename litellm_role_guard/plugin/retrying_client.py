"""The HTTP client that answers a refused call with one repaired call to the same deployment.

LiteLLM's own retry of a 400 sleeps, goes to another deployment where there is one, and repeats
every other 400 as well. A client of our own, given to LiteLLM with the request's arguments, sees
the refusal first. It leans on names of `litellm/llms/custom_httpx/http_handler.py` that LiteLLM
does not promise to keep. Without them `retrying_client` gives None, and the callback's failure hook keeps
the lesson for LiteLLM's own retry.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import httpx

from ..observability.log import log_failure
from ..profile.refusals import is_about_conversation
from . import litellm_internals
from .error_body import error_body, error_message
from .in_flight_stream import InFlightRequest, ends_with_stream
from .litellm_internals import AsyncHTTPHandler, http_handler
from .response_capture import overheard
from .unknown_response import explain_unknown

MAX_LESSONS = 3
"""How many refusals of one request may each be answered by one repaired call."""


class RetryPolicy(Protocol):
    """A call to a deployment that can be made again, otherwise, once it was refused."""

    async def after_refusal(self, words: str) -> Mapping[str, Any] | None:
        """Give the fields of the body to send instead (None removes one), or None to give up."""

    def finished(self, *, answered: bool) -> None:
        """Take note that no further call is made, and whether the last one was answered."""

    def failed(self) -> None:
        """Take note of an error that is the guard's own."""


class RetryingClient(AsyncHTTPHandler):
    """A handler that sends a refused call again, repaired, through another handler's connections.

    Args:
        inner: The handler that holds the connections; it stays its owner's.
        attempt: What to send after a refusal.
        given: The arguments of LiteLLM's call that were replaced when this client was put in, as
            they were; None for what was not there.

    Attributes:
        flight: What is to be ended when the backend is through with the call, or None.
        on_response: What is to be given the response object of a /v1/responses call, once it is
            whole and before LiteLLM has it; or None.
        unknown_response: What a 400 is to say in place of the backend's 404 for an earlier
            response that it does not know, or None. LiteLLM would send nobody anything there for a
            while.
    """

    @property
    def learns(self) -> bool:
        """Whether a refusal is learnt from by the attempt that is made with this client."""
        return not isinstance(self._attempt, NoRetry)

    def __init__(
        self, inner: AsyncHTTPHandler, attempt: RetryPolicy, given: Mapping[str, Any] | None = None
    ) -> None:
        # The base's constructor would open a connection pool of its own.
        self._inner = inner
        self._attempt = attempt
        self.given = {} if given is None else given
        self.flight: InFlightRequest | None = None
        self.on_response: Callable[[Mapping[str, Any]], None] | None = None
        self.unknown_response: str | None = None

    def __getattr__(self, name: str) -> Any:
        # The base's attributes (timeout, ...) are the inner handler's. Dunder names are left out:
        # copying asks for them on an instance that has no inner handler yet.
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.__dict__["_inner"], name)

    def __deepcopy__(self, memo: dict[int, Any]) -> RetryingClient:
        # LiteLLM copies a call's arguments for each fallback. Connections cannot be copied.
        given = {
            name: value if name == "client" else copy.deepcopy(value, memo)
            for name, value in self.given.items()
        }
        return RetryingClient(self._inner, self._attempt, given)

    def __del__(self) -> None:
        # The base's finalizer closes the connections that this client only borrows, and with them
        # every stream that still reads from them.
        pass

    async def close(self) -> None:
        """Close nothing: the connections are the inner handler's."""

    async def post(self, url: str, **kwargs: Any) -> httpx.Response:
        """Post, and after a refusal that teaches something post once more, up to `MAX_LESSONS`.

        Args:
            url: Where to post.
            **kwargs: As for LiteLLM's handler; the body is in `data` (JSON text) or `json`.

        Raises:
            httpx.HTTPStatusError: The backend's first refusal where no lesson helped, else the
                error that ended the last call.
        """
        answered = streams = False
        try:
            response = await self._post(url, kwargs)
            answered = True
            if self.on_response is not None:
                overheard(response, self.on_response)
            streams = self.flight is not None and ends_with_stream(self.flight, response)
            return response
        finally:
            if self.flight is not None and not streams:
                self.flight.end()
            self._attempt.finished(answered=answered)

    async def _post(self, url: str, kwargs: dict[str, Any]) -> httpx.Response:
        first: httpx.HTTPStatusError | None = None
        for lesson in range(MAX_LESSONS + 1):
            try:
                response: httpx.Response = await self._inner.post(url, **kwargs)
                return response
            except httpx.HTTPStatusError as error:
                if error.response.status_code == 404 and self.unknown_response is not None:
                    await explain_unknown(error, kwargs, self.unknown_response)
                if error.response.status_code != 400:
                    raise
                words = error_message(await error_body(error))
                if not is_about_conversation(words):
                    raise  # what this 400 is about, no repair can change
                first = first or error
            repaired = await self._repaired(kwargs, words) if lesson < MAX_LESSONS else None
            if repaired is None:
                break
            kwargs = repaired
        assert first is not None  # the loop was left by a refusal
        raise first

    async def _repaired(self, kwargs: dict[str, Any], words: str) -> dict[str, Any] | None:
        try:
            fields = await self._attempt.after_refusal(words)
            return None if fields is None else _rewritten(kwargs, fields)
        except Exception as error:
            # Whatever goes wrong here, the client is owed the backend's own error.
            log_failure("role guard failed; the backend's refusal is passed on", error)
            self._attempt.failed()
            return None


class NoRetry:
    """A call that is not made again, whatever becomes of it."""

    async def after_refusal(self, words: str) -> None:
        """Give up."""

    def finished(self, *, answered: bool) -> None:
        """Take no note."""

    def failed(self) -> None:
        """Take no note."""


def _rewritten(kwargs: dict[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    if kwargs.get("json") is not None:
        return {**kwargs, "json": replaced(kwargs["json"], fields)}
    return {**kwargs, "data": json.dumps(replaced(json.loads(kwargs["data"]), fields))}


def replaced(body: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**body, **fields}
    return {key: value for key, value in merged.items() if value is not None or key not in fields}


def retrying_client(
    kwargs: Mapping[str, Any], attempt: RetryPolicy, changes: Mapping[str, Any] | None = None
) -> Any | None:
    """Give the client to put into a call's arguments, or None where LiteLLM's own must do.

    Args:
        kwargs: The arguments of LiteLLM's call to a hosted_vllm deployment.
        attempt: What to send after a refusal.
        changes: The arguments that are replaced along with the client.
    """
    if not litellm_internals.AVAILABLE:
        return None
    kwargs = original_arguments(kwargs)
    given = {name: kwargs.get(name) for name in ("client", *(changes or ()))}
    inner = http_handler(kwargs)
    return RetryingClient(inner, attempt, given) if isinstance(inner, AsyncHTTPHandler) else None


def observing_client(
    kwargs: Mapping[str, Any], changes: Mapping[str, Any] | None = None
) -> Any | None:
    """Give a client that sends nothing again, for its attributes, or None as `retrying_client` does.

    Args:
        kwargs: The arguments of LiteLLM's call to a hosted_vllm deployment.
        changes: The arguments that are replaced along with the client.
    """
    return retrying_client(kwargs, NoRetry(), changes)


def original_arguments(kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give a call's arguments as they were before a client of `retrying_client` was put into them.

    LiteLLM hands the arguments of a call that failed on to its own retries and fallbacks, to other
    providers' as well. Where there is nothing to take back, the very same object is given.

    Args:
        kwargs: The arguments of LiteLLM's call.
    """
    client = kwargs.get("client")
    return replaced(kwargs, client.given) if isinstance(client, RetryingClient) else kwargs
