"""Results in the order of their requests, of which only so many are ahead of the first missing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from .sending.request import BatchRequest, BatchResult


class Window:
    """Lets requests in, and results out in turn.

    Args:
        most: How many requests may be ahead of the first one whose result is missing.
        ordered: Whether results come out in turn, or as they are there.
    """

    def __init__(self, most: int, *, ordered: bool) -> None:
        self._room = asyncio.Semaphore(most)
        self._ordered = ordered

    async def admitted(self, requests: AsyncIterator[BatchRequest]) -> AsyncIterator[BatchRequest]:
        """Yield requests as there is room for them."""
        async for request in requests:
            await self._room.acquire()
            yield request

    async def in_turn(self, results: AsyncIterator[BatchResult]) -> AsyncIterator[BatchResult]:
        """Yield results, each one once those before it are there."""
        held: dict[int, BatchResult] = {}
        turn = 0
        async for result in results:
            if not self._ordered:
                self._room.release()
                yield result
                continue
            held[result.number] = result
            while turn in held:
                self._room.release()
                yield held.pop(turn)
                turn += 1
