"""All requests of a batch, as many at once as the pace allows, answers as they come.

The reader waits for room: at most twice as many requests as may be under way are in memory, those
that wait for their next try among them. So does the sender, for whoever takes the answers.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import NamedTuple

from .pace import Pace
from .request import ANSWERED, BatchRequest, BatchResult
from .retries import Retries, is_shed, is_tried_again
from .target import Answer, Target


class _End(NamedTuple):
    failure: BaseException | None


class Dispatcher:
    """Sends requests and yields their results.

    Args:
        target: Who answers.
        pace: How many may be under way.
        retries: How often each is sent.

    Attributes:
        retried: How many tries failed and were followed by another, or will be.
        last_failure: The words of the last one of them.
    """

    def __init__(self, target: Target, pace: Pace, retries: Retries) -> None:
        self._target = target
        self._pace = pace
        self._retries = retries
        self._feeding: asyncio.Task[None] | None = None
        self._draining = asyncio.Event()
        self.retried = 0
        self.last_failure = ""

    @property
    def is_draining(self) -> bool:
        """Whether nothing more is sent."""
        return self._draining.is_set()

    def drain(self) -> None:
        """Send nothing more; what is under way is still waited for."""
        self._draining.set()
        if self._feeding is not None:
            self._feeding.cancel()

    async def results(
        self, requests: AsyncIterator[BatchRequest]
    ) -> AsyncGenerator[BatchResult, None]:
        """Yield the result of each request, in the order in which they come.

        Those that `drain` kept from being sent, or sent again, have none.

        Args:
            requests: What to ask.

        Raises:
            Exception: What `requests` raises, after the results of what was sent before.
        """
        results: asyncio.Queue[BatchResult | _End] = asyncio.Queue(self._pace.most)
        work = asyncio.ensure_future(self._send_all(requests, results))
        try:
            while not isinstance(result := await results.get(), _End):
                yield result
            if result.failure is not None:
                raise result.failure
        finally:
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work

    async def _send_all(
        self, requests: AsyncIterator[BatchRequest], results: asyncio.Queue[BatchResult | _End]
    ) -> None:
        tasks: set[asyncio.Task[None]] = set()
        self._feeding = feeding = asyncio.ensure_future(self._feed(requests, results, tasks))
        try:
            if not self.is_draining:
                await asyncio.wait({feeding})
            failure = None if feeding.cancelled() or self.is_draining else feeding.exception()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            failed = (each for each in ended if isinstance(each, BaseException))
            await results.put(_End(failure or next(failed, None)))
        finally:
            left = [feeding, *tasks]
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    async def _feed(
        self,
        requests: AsyncIterator[BatchRequest],
        results: asyncio.Queue[BatchResult | _End],
        tasks: set[asyncio.Task[None]],
    ) -> None:
        room = asyncio.Semaphore(2 * self._pace.most)

        async def answer(request: BatchRequest) -> None:
            try:
                result = await self._result(request)
                if result is not None:
                    await results.put(result)
            finally:
                room.release()

        def done(task: asyncio.Task[None]) -> None:
            if task.cancelled() or task.exception() is None:
                tasks.discard(task)  # one that failed is looked at in the end

        await room.acquire()
        async for request in requests:
            task = asyncio.ensure_future(answer(request))
            tasks.add(task)
            task.add_done_callback(done)
            await room.acquire()

    async def _result(self, request: BatchRequest) -> BatchResult | None:
        tries = 0
        while not self.is_draining:
            async with self._pace:
                if self.is_draining:
                    break
                tries += 1
                answer = await self._target.ask(request)
                self._pace.heard(shed=is_shed(answer.status))
            if tries >= self._retries.most or not is_tried_again(answer.status):
                return _result_of(request, answer, tries)
            self.retried += 1
            self.last_failure = answer.words
            await self._pause(self._retries.pause(tries, answer.retry_after))
        return None

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._draining.wait(), seconds)


def _result_of(request: BatchRequest, answer: Answer, tries: int) -> BatchResult:
    error = None
    if answer.status != ANSWERED:
        error = answer.words or f"status {answer.status}"
    return BatchResult(
        request.number,
        request.custom_id,
        answer.status,
        answer.body,
        error,
        answer.request_id,
        tries,
        answer.changes or {},
        request.digest(),
    )
