"""Reading the response object of a /v1/responses call on its way to the client."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import httpx

from ..observability.log import log_failure
from .call_part import CallPart

MAX_LINE_BYTES = 16 * 2**20
"""How long an event may be that is read; a longer one passes, and cannot be gone on from."""


_LAST_EVENTS = (b"response.completed", b"response.incomplete")


class ResponseCapture(httpx.AsyncByteStream):
    """A /v1/responses stream whose last event is read before whoever reads the stream has it."""

    def __init__(self, inner: httpx.AsyncByteStream, hear: Callable[[object], None]) -> None:
        self._inner = inner
        self._hear = hear

    async def __aiter__(self) -> AsyncIterator[bytes]:
        line: list[bytes] = []
        size = 0
        async for chunk in self._inner:
            line.append(chunk)
            size += len(chunk)
            if size > MAX_LINE_BYTES:
                line.clear()  # without its beginning it is no event
            if b"\n" in chunk:
                size = 0
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
        except (ValueError, RecursionError):
            return
        if isinstance(event, Mapping) and str(event.get("type")).encode() in _LAST_EVENTS:
            self._hear(event.get("response"))


class ResponseListener(CallPart):
    """Passes the response object on, at once or at the end of its stream.

    Args:
        hear: Takes the object, once it is whole and before LiteLLM has it.
    """

    def __init__(self, hear: Callable[[Mapping[str, Any]], None]) -> None:
        self._hear = hear

    def on_response(self, response: httpx.Response) -> None:
        """Read the object, or have it read as its stream passes."""
        if response.is_stream_consumed or response.is_closed:
            try:
                self._hear_safely(response.json())
            except (ValueError, RecursionError):
                return  # what it is instead, LiteLLM will say
            return
        # Compressed, which vLLM's own is not, a stream cannot be read here.
        is_plain = response.headers.get("content-encoding", "identity") == "identity"
        if is_plain and isinstance(response.stream, httpx.AsyncByteStream):
            response.stream = ResponseCapture(response.stream, self._hear_safely)

    def _hear_safely(self, heard: object) -> None:
        try:
            if isinstance(heard, Mapping):
                self._hear(heard)
        except Exception as error:  # the answer is the client's, whatever goes wrong here
            log_failure("role guard failed; the response cannot be gone on from", error)
