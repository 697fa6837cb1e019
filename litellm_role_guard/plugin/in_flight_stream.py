"""Ending a request's count with the stream of its response."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

import httpx

from .call_part import CallPart


class InFlight(Protocol):
    """A request that is on its way to a backend."""

    def end(self) -> None:
        """End it; a second time changes nothing."""


class InFlightEnd(CallPart):
    """Ends a request in flight once the backend has sent all of its answer, or none.

    Args:
        in_flight: The request.
    """

    def __init__(self, in_flight: InFlight) -> None:
        self._in_flight = in_flight

    def on_end(self, response: httpx.Response | None) -> None:
        """End the request now, or with the stream that is still to be read."""
        if response is None or not _ends_with_stream(self._in_flight, response):
            self._in_flight.end()


class _WatchedStream(httpx.AsyncByteStream):
    """A stream that ends a request in flight: at its end, when closed, or when dropped half-read.

    LiteLLM does not close each stream that a client walks away from; some it only lets go of.
    """

    def __init__(self, inner: httpx.AsyncByteStream, in_flight: InFlight) -> None:
        self._inner = inner
        self._in_flight = in_flight

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._inner:
                yield chunk
        finally:
            self._in_flight.end()

    async def aclose(self) -> None:
        """Close the stream."""
        try:
            await self._inner.aclose()
        finally:
            self._in_flight.end()

    def __del__(self) -> None:
        self._in_flight.end()


def _ends_with_stream(in_flight: InFlight, response: httpx.Response) -> bool:
    """Let a request end with the stream of its response; return whether one is to be read."""
    if response.is_closed or response.is_stream_consumed:
        return False
    stream = response.stream
    if not isinstance(stream, httpx.AsyncByteStream):
        return False
    response.stream = _WatchedStream(stream, in_flight)
    return True
