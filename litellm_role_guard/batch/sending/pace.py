"""How many requests may be under way: up to a bound, and fewer while the server sheds load.

What is shed says how much was too much: of 100 requests that are under way together, 20 are
refused where there is room for 80. So the pace falls by the share that was shed, one round of
requests after the other, and grows again by a twentieth of the bound in each round without any.
"""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType

GROWTH = 0.05
"""The part of the bound by which the pace grows in a round without shed load."""

_TOLERATED = 0.02


class Pace:
    """A semaphore whose limit follows the server.

    Args:
        most: The most requests under way at once.

    Attributes:
        limit: How many may be under way now.
        in_flight: How many are.
        peak: The most that were so far.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.limit = most
        self.in_flight = 0
        self.peak = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._round = 0  # answers in this round
        self._shed = 0  # those of them that were shed

    async def __aenter__(self) -> Pace:
        if self.in_flight < self.limit and not self._waiting:
            self._enter()
            return self
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave()  # the place was given at the last moment
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave()

    def heard(self, *, shed: bool) -> None:
        """Note one answer.

        Args:
            shed: Whether the server said that it has too much to do.
        """
        self._round += 1
        self._shed += shed
        if self._round < self.limit:
            return
        share = self._shed / self._round
        if share > _TOLERATED:
            self.limit = max(1, int(self.limit * (1 - share)))
        elif self.limit < self.most:
            self.limit = min(self.most, self.limit + max(1, round(self.most * GROWTH)))
        self._round = self._shed = 0
        self._admit()

    def _enter(self) -> None:
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)

    def _leave(self) -> None:
        self.in_flight -= 1
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self.in_flight < self.limit:
            turn = self._waiting.popleft()
            if not turn.done():
                self._enter()
                turn.set_result(None)
