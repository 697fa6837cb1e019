"""The HTTP client that answers a refused call with one repaired call to the same deployment.

LiteLLM's own retry of a 400 sleeps, goes to another deployment where there is one, and repeats
every other 400 as well. A client of our own, given to LiteLLM with the request's arguments, sees
the refusal first. It leans on names of `litellm/llms/custom_httpx/http_handler.py` that LiteLLM
does not promise to keep. Without them `retrying_client` returns None, and the hook for failures
keeps the lesson for LiteLLM's own retry.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import httpx

from ..observability.log import log_failure
from ..profile.refusals import is_about_conversation
from . import litellm_internals
from .borrowing_client import BorrowingClient, original_arguments, replaced
from .call_part import CallPart
from .error_body import error_body, error_message
from .litellm_internals import AsyncHTTPHandler, http_handler

MAX_LESSONS = 3
"""How many refusals of one request may each be answered by one repaired call."""


class RetryPolicy(Protocol):
    """A call to a deployment that can be made again, otherwise, once it was refused."""

    async def after_refusal(self, words: str, body: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return the fields of the body to send instead (None removes one), or None to give up."""

    def finished(self, *, answered: bool) -> None:
        """Handle the end: no further call is made, and the last one was answered or not."""

    def failed(self) -> None:
        """Count an error of the guard's own."""


class RetryingClient(BorrowingClient):
    """A handler that sends a refused call again, repaired, through another handler's connections.

    Args:
        inner: As for `BorrowingClient`.
        policy: What to send after a refusal.
        given: As for `BorrowingClient`.
        parts: What else goes along with the call.
    """

    def __init__(
        self,
        inner: AsyncHTTPHandler,
        policy: RetryPolicy,
        given: Mapping[str, Any] | None = None,
        parts: Sequence[CallPart] = (),
    ) -> None:
        super().__init__(inner, given)
        self._policy = policy
        self._parts = parts

    @property
    def learns(self) -> bool:
        """Whether the policy of this client learns from a refusal."""
        return not isinstance(self._policy, NoRetry)

    def copied(self, given: Mapping[str, Any]) -> RetryingClient:
        """Return a client for a copy of the arguments; the parts stay with this call."""
        return RetryingClient(self._inner, self._policy, given)

    async def post(self, url: str, **kwargs: Any) -> httpx.Response:
        """Post, and after a refusal that teaches something post once more, up to `MAX_LESSONS`.

        Args:
            url: Where to post.
            **kwargs: As for LiteLLM's handler; the body is in `data` (JSON text) or `json`.

        Raises:
            httpx.HTTPStatusError: The backend's first refusal where no lesson helped, else the
                error that ended the last call.
        """
        response: httpx.Response | None = None
        try:
            response = await self._post(url, kwargs)
            for part in self._parts:
                part.on_response(response)
            return response
        finally:
            for part in self._parts:
                part.on_end(response)
            # A stream counts from its first bytes: the template has had its say before them.
            answered = response is not None and response.status_code == 200
            self._policy.finished(answered=answered)

    async def _post(self, url: str, kwargs: dict[str, Any]) -> httpx.Response:
        first: httpx.HTTPStatusError | None = None
        for lesson in range(MAX_LESSONS + 1):
            try:
                response: httpx.Response = await self._inner.post(url, **kwargs)
                return response
            except httpx.HTTPStatusError as error:
                for part in self._parts:
                    await part.on_error(error, kwargs)
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
            body = _body(kwargs)
            fields = await self._policy.after_refusal(words, body)
            return None if fields is None else _rewritten(kwargs, replaced(body, fields))
        except Exception as error:
            # Whatever goes wrong here, the client is owed the backend's own error.
            log_failure("role guard failed; the backend's refusal is passed on", error)
            self._policy.failed()
            return None


class NoRetry:
    """A call that is not made again, whatever becomes of it."""

    async def after_refusal(self, words: str, body: Mapping[str, Any]) -> None:
        """Return None: no retry."""

    def finished(self, *, answered: bool) -> None:
        """Do nothing."""

    def failed(self) -> None:
        """Do nothing."""


def _body(kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    given = kwargs.get("json")
    body: Mapping[str, Any] = json.loads(kwargs["data"]) if given is None else given
    return body


def _rewritten(kwargs: dict[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    if kwargs.get("json") is not None:
        return {**kwargs, "json": body}
    return {**kwargs, "data": json.dumps(body)}


def retrying_client(
    kwargs: Mapping[str, Any],
    policy: RetryPolicy,
    changes: Mapping[str, Any] | None = None,
    parts: Sequence[CallPart] = (),
) -> RetryingClient | None:
    """Return the client to put into a call's arguments, or None where LiteLLM's own must do.

    Args:
        kwargs: The arguments of LiteLLM's call to a hosted_vllm deployment.
        policy: What to send after a refusal.
        changes: The arguments that are replaced along with the client.
        parts: What else goes along with the call.
    """
    if not litellm_internals.AVAILABLE:
        return None
    kwargs = original_arguments(kwargs)
    given = {name: kwargs.get(name) for name in ("client", *(changes or ()))}
    inner = http_handler(kwargs)
    if not isinstance(inner, AsyncHTTPHandler):
        return None
    return RetryingClient(inner, policy, given, parts)


def observing_client(
    kwargs: Mapping[str, Any],
    changes: Mapping[str, Any] | None = None,
    parts: Sequence[CallPart] = (),
) -> RetryingClient | None:
    """Return a client that never retries, for its parts; None as `retrying_client` does.

    Args:
        kwargs: The arguments of LiteLLM's call to a hosted_vllm deployment.
        changes: The arguments that are replaced along with the client.
        parts: What goes along with the call.
    """
    return retrying_client(kwargs, NoRetry(), changes, parts)


def is_made_by_us(arguments: Mapping[str, Any] | None) -> bool:
    """Return whether a call with these arguments goes through a client of the guard's."""
    return arguments is not None and isinstance(arguments.get("client"), RetryingClient)
