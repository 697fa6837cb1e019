"""The HTTP client that answers a refused call with one repaired call to the same deployment.

LiteLLM's own retry of a 400 sleeps, goes to another deployment where there is one, and repeats
every other 400 as well. A client of our own, given to LiteLLM with the request's arguments, sees
the refusal first. It leans on names of `litellm/llms/custom_httpx/http_handler.py` that LiteLLM
does not promise to keep. Without them `retrying` gives None, and the callback's failure hook keeps
the lesson for LiteLLM's own retry.
"""

from __future__ import annotations

import copy
import json
import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Protocol

import httpx
import litellm

from .learner import Backend
from .log import log_failure
from .refusals import is_about_conversation

try:
    from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler, get_async_httpx_client
    from litellm.types.utils import LlmProviders
except ImportError:
    AVAILABLE = False
    AsyncHTTPHandler = object  # type: ignore[misc, assignment]
else:
    AVAILABLE = True

MAX_LESSONS = 3
"""How many refusals of one request may each be answered by one repaired call."""

PROVIDER = "hosted_vllm"

_LAST_EVENTS = (b"response.completed", b"response.incomplete")


class Attempt(Protocol):
    """A call to a deployment that can be made again, otherwise, once it was refused."""

    async def after_refusal(self, words: str) -> Mapping[str, Any] | None:
        """Give the fields of the body to send instead (None removes one), or None to give up."""

    def finished(self, *, answered: bool) -> None:
        """Take note that no further call is made, and whether the last one was answered."""

    def failed(self) -> None:
        """Take note of an error that is the guard's own."""


class Flight(Protocol):
    """A call that is on its way to a backend."""

    def end(self) -> None:
        """Take note that the backend is through with it; more than once is well."""


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
        return not isinstance(self._attempt, _Untold)

    def __init__(
        self, inner: AsyncHTTPHandler, attempt: Attempt, given: Mapping[str, Any] | None = None
    ) -> None:
        # The base's constructor would open a connection pool of its own.
        self._inner = inner
        self._attempt = attempt
        self.given = {} if given is None else given
        self.flight: Flight | None = None
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
                _overheard(response, self.on_response)
            streams = self.flight is not None and _ends_with_stream(self.flight, response)
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
                    await _explain_unknown(error, kwargs, self.unknown_response)
                if error.response.status_code != 400:
                    raise
                words = _message(await _body(error))
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


class _Untold:
    """A call that is not made again, whatever becomes of it."""

    async def after_refusal(self, words: str) -> None:
        """Give up."""

    def finished(self, *, answered: bool) -> None:
        """Take no note."""

    def failed(self) -> None:
        """Take no note."""


class _WatchedStream(httpx.AsyncByteStream):
    """A response's stream that ends a flight: at its end, when closed, or when dropped half-read.

    LiteLLM does not close each stream that a client walks away from; some it only lets go of.
    """

    def __init__(self, inner: httpx.AsyncByteStream, flight: Flight) -> None:
        self._inner = inner
        self._flight = flight

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._inner:
                yield chunk
        finally:
            self._flight.end()

    async def aclose(self) -> None:
        """Close the stream."""
        try:
            await self._inner.aclose()
        finally:
            self._flight.end()

    def __del__(self) -> None:
        self._flight.end()


def _ends_with_stream(flight: Flight, response: httpx.Response) -> bool:
    """Let a flight end with the stream of a response; tell whether there is more to come of it."""
    if response.is_closed or response.is_stream_consumed:
        return False
    stream = response.stream
    if not isinstance(stream, httpx.AsyncByteStream):
        return False
    response.stream = _WatchedStream(stream, flight)
    return True


class _OverheardStream(httpx.AsyncByteStream):
    """A /v1/responses stream whose last event is read before whoever reads the stream has it."""

    def __init__(self, inner: httpx.AsyncByteStream, hear: Callable[[object], None]) -> None:
        self._inner = inner
        self._hear = hear

    async def __aiter__(self) -> AsyncIterator[bytes]:
        line: list[bytes] = []
        async for chunk in self._inner:
            line.append(chunk)
            if b"\n" in chunk:
                *lines, rest = b"".join(line).split(b"\n")
                line = [rest]
                for whole in lines:
                    self._read(whole)
            yield chunk

    async def aclose(self) -> None:
        """Close the stream."""
        await self._inner.aclose()

    def _read(self, line: bytes) -> None:
        # The words may be part of a text as well; parsing each event would cost far more.
        if not line.startswith(b"data:") or not any(kind in line for kind in _LAST_EVENTS):
            return
        try:
            event = json.loads(line.removeprefix(b"data:"))
        except ValueError:
            return
        if isinstance(event, Mapping) and str(event.get("type")).encode() in _LAST_EVENTS:
            self._hear(event.get("response"))


def _overheard(response: httpx.Response, hear: Callable[[Mapping[str, Any]], None]) -> None:
    """Let a response object be heard, now or at the end of its stream."""

    def safely(heard: object) -> None:
        try:
            if isinstance(heard, Mapping):
                hear(heard)
        except Exception as error:  # the answer is the client's, whatever goes wrong here
            log_failure("role guard failed; the response cannot be gone on from", error)

    if response.is_stream_consumed or response.is_closed:
        try:
            safely(response.json())
        except ValueError:
            return  # what it is instead, LiteLLM will say
        return
    # Compressed, which vLLM's own is not, a stream cannot be read here.
    is_plain = response.headers.get("content-encoding", "identity") == "identity"
    if is_plain and isinstance(response.stream, httpx.AsyncByteStream):
        response.stream = _OverheardStream(response.stream, safely)


async def _explain_unknown(
    error: httpx.HTTPStatusError, kwargs: Mapping[str, Any], why: str
) -> None:
    """Raise a 400 in place of a 404 that is about the earlier response which a call names."""
    body = kwargs.get("json")
    named = body.get("previous_response_id") if isinstance(body, Mapping) else None
    if not named or str(named) not in _message(await _body(error)):
        return
    told = {"message": why, "type": "invalid_request_error", "param": "previous_response_id"}
    response = httpx.Response(400, json={"error": {**told, "code": 400}}, request=error.request)
    raise httpx.HTTPStatusError(why, request=error.request, response=response) from None


async def _body(error: httpx.HTTPStatusError) -> str:
    # Reading a refused stream to its end and closing it gives its connection back to the pool.
    try:
        await error.response.aread()
        return error.response.text
    except (httpx.HTTPError, httpx.StreamError, UnicodeDecodeError):
        return ""
    finally:
        await error.response.aclose()


def _message(body: str) -> str:
    """Give the message of an error's body; the body itself where it has none.

    The rest of a body is no refusal of the conversation: it may repeat what the client sent.
    """
    try:
        fields = json.loads(body)
    except ValueError:
        return body
    if not isinstance(fields, Mapping):
        return body
    error = fields.get("error")
    # Older vLLM has the error's fields at the top.
    message = (error if isinstance(error, Mapping) else fields).get("message")
    return message if isinstance(message, str) else body


def _rewritten(kwargs: dict[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    if kwargs.get("json") is not None:
        return {**kwargs, "json": _replaced(kwargs["json"], fields)}
    return {**kwargs, "data": json.dumps(_replaced(json.loads(kwargs["data"]), fields))}


def _replaced(body: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**body, **fields}
    return {key: value for key, value in merged.items() if value is not None or key not in fields}


def retrying(
    kwargs: Mapping[str, Any], attempt: Attempt, changes: Mapping[str, Any] | None = None
) -> Any | None:
    """Give the client to put into a call's arguments, or None where LiteLLM's own must do.

    Args:
        kwargs: The arguments of LiteLLM's call to a hosted_vllm deployment.
        attempt: What to send after a refusal.
        changes: The arguments that are replaced along with the client.
    """
    if not AVAILABLE:
        return None
    kwargs = as_given(kwargs)
    given = {name: kwargs.get(name) for name in ("client", *(changes or ()))}
    inner = _handler(kwargs)
    return RetryingClient(inner, attempt, given) if isinstance(inner, AsyncHTTPHandler) else None


def _handler(kwargs: Mapping[str, Any]) -> Any:
    if kwargs.get("client") is not None:
        return kwargs["client"]
    # The very handler that LiteLLM would take by itself (`llm_http_handler.py`).
    return get_async_httpx_client(
        llm_provider=LlmProviders(PROVIDER),
        params={"ssl_verify": kwargs.get("ssl_verify")},
        shared_session=kwargs.get("shared_session"),
    )


def backend_of(kwargs: Mapping[str, Any], name: str, own: Mapping[str, Any]) -> Backend | None:
    """Give how the backend of a call is asked what its template takes; None without an address.

    Args:
        kwargs: The arguments of LiteLLM's call to a hosted_vllm deployment.
        name: What the log calls the deployment.
        own: The arguments that the deployment has by itself, whatever a client brings along.
    """
    kwargs = _with_credential(as_given(kwargs))
    # As in `litellm.main` and `HostedVLLMChatConfig`.
    url = kwargs.get("api_base") or kwargs.get("base_url") or litellm.api_base
    url = url or os.environ.get("HOSTED_VLLM_API_BASE")
    key = kwargs.get("api_key") or litellm.api_key or os.environ.get("HOSTED_VLLM_API_KEY")
    if not isinstance(url, str):
        return None
    body = own.get("extra_body")
    variables = own.get("chat_template_kwargs")
    if variables is None and isinstance(body, Mapping):
        variables = body.get("chat_template_kwargs")
    headers: dict[str, Any] = {}
    for name_of_headers in ("headers", "extra_headers"):
        if isinstance(own.get(name_of_headers), Mapping):
            headers.update(own[name_of_headers])
    verify = kwargs.get("ssl_verify")
    return Backend(
        name=name,
        url=url.partition("/chat/completions")[0],  # LiteLLM takes the whole path as well
        model=str(kwargs["model"]).removeprefix(f"{PROVIDER}/"),
        api_key=key if isinstance(key, str) else None,
        headers={str(header): str(value) for header, value in headers.items()},
        fields={"chat_template_kwargs": variables} if isinstance(variables, Mapping) else {},
        verify=True if verify is None else verify,
        handler=_handler(kwargs) if AVAILABLE else None,
    )


def _with_credential(kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give a call's arguments with those of its named credential.

    LiteLLM itself looks these up only after its hooks (`litellm/utils.py`).
    """
    if not kwargs.get("litellm_credential_name"):
        return kwargs
    from litellm.utils import load_credentials_from_list

    told = dict(kwargs)
    load_credentials_from_list(told)
    return told


def watching(kwargs: Mapping[str, Any], changes: Mapping[str, Any] | None = None) -> Any | None:
    """Give a client that sends nothing again, for its attributes, or None as `retrying` does.

    Args:
        kwargs: The arguments of LiteLLM's call to a hosted_vllm deployment.
        changes: The arguments that are replaced along with the client.
    """
    return retrying(kwargs, _Untold(), changes)


def named_by_backend(response_id: str) -> str:
    """Give the id that a backend itself gave to a response.

    Args:
        response_id: The id as LiteLLM's clients know it, or the backend's own.
    """
    try:
        from litellm.responses.utils import ResponsesAPIRequestUtils as Ids

        return Ids.decode_previous_response_id_to_original_previous_response_id(response_id)
    except Exception as error:
        log_failure("LiteLLM's response ids cannot be read", error, logging.DEBUG)
        return response_id


def as_given(kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give a call's arguments as they were before a client of `retrying` was put into them.

    LiteLLM hands the arguments of a call that failed on to its own retries and fallbacks, to other
    providers' as well. Where there is nothing to take back, the very same object is given.

    Args:
        kwargs: The arguments of LiteLLM's call.
    """
    client = kwargs.get("client")
    return _replaced(kwargs, client.given) if isinstance(client, RetryingClient) else kwargs


def as_sent(messages: list[Any], model: str) -> list[Any]:
    """Give messages as LiteLLM's hosted_vllm code would put them into the body.

    Args:
        messages: The messages, which may be changed.
        model: The model's name.
    """
    try:
        from litellm.llms.hosted_vllm.chat.transformation import HostedVLLMChatConfig

        body = HostedVLLMChatConfig().transform_request(model, messages, {}, {}, {})
    except Exception as error:
        # vLLM takes all of OpenAI's own forms; LiteLLM's code only brings other forms there.
        log_failure("LiteLLM's transform_request cannot be used", error, logging.DEBUG)
        return messages
    sent: list[Any] = body["messages"]
    return sent
