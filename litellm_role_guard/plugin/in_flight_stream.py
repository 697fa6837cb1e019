"""Ending a request's count with the stream of its response."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Any

import httpx

from ..routing.in_flight import Counted, end_with_task, present_task
from .call_part import CallPart

_reader: ContextVar[weakref.ref[asyncio.Task[Any]] | None] = ContextVar(
    "role_guard_reader", default=None
)


def note_reader() -> None:
    """Note that the present task is the one that will hand the answer on to the client.

    The tasks that LiteLLM makes for the calls of the request know it from then on.
    """
    task = present_task()
    _reader.set(None if task is None else weakref.ref(task))


class InFlightEnd(CallPart):
    """Ends a request in flight once the backend has sent all of its answer, or none.

    Where the client leaves before the backend is asked, it ends with the task; where it leaves a
    stream, with the task that hands it on. LiteLLM does not close each of these streams, and what
    holds them goes away when Python collects its cycles, which may take minutes.

    Args:
        in_flight: The request.
    """

    def __init__(self, in_flight: Counted) -> None:
        self._in_flight = in_flight
        self._outlives_task = end_with_task(in_flight)
        self._reader = _reader.get()

    def on_end(self, response: httpx.Response | None) -> None:
        """End the request now, or with the stream that is still to be read."""
        if response is not None and _ends_with_stream(self._in_flight, response):
            self._outlives_task()
            reader = None if self._reader is None else self._reader()
            if reader is not None:
                end_with_task(self._in_flight, reader)
        else:
            self._in_flight.end()


class _WatchedStream(httpx.AsyncByteStream):
    """A stream that ends a request in flight: at its end, when closed, or when dropped half-read.

    LiteLLM does not close each stream that a client walks away from; some it only lets go of.
    """

    def __init__(self, inner: httpx.AsyncByteStream, in_flight: Counted) -> None:
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


def _ends_with_stream(in_flight: Counted, response: httpx.Response) -> bool:
    """Let a request end with the stream of its response; return whether one is to be read."""
    if response.is_closed or response.is_stream_consumed:
        return False
    stream = response.stream
    if not isinstance(stream, httpx.AsyncByteStream):
        return False
    response.stream = _WatchedStream(stream, in_flight)
    return True
