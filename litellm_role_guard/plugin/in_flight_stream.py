"""Ending a request's count with the stream of its response."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

import httpx


class InFlightRequest(Protocol):
    """A call that is on its way to a backend."""

    def end(self) -> None:
        """Take note that the backend is through with it; more than once is well."""


class _WatchedStream(httpx.AsyncByteStream):
    """A response's stream that ends a flight: at its end, when closed, or when dropped half-read.

    LiteLLM does not close each stream that a client walks away from; some it only lets go of.
    """

    def __init__(self, inner: httpx.AsyncByteStream, flight: InFlightRequest) -> None:
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


def ends_with_stream(flight: InFlightRequest, response: httpx.Response) -> bool:
    """Let a flight end with the stream of a response; tell whether there is more to come of it."""
    if response.is_closed or response.is_stream_consumed:
        return False
    stream = response.stream
    if not isinstance(stream, httpx.AsyncByteStream):
        return False
    response.stream = _WatchedStream(stream, flight)
    return True
