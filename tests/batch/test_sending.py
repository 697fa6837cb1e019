"""Requests that are bounded, tried again, and ended when it is time to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from litellm_role_guard.batch.reading_ahead import read_ahead
from litellm_role_guard.batch.sending.dispatcher import Dispatcher
from litellm_role_guard.batch.sending.pace import Pace
from litellm_role_guard.batch.sending.request import BatchRequest, BatchResult
from litellm_role_guard.batch.sending.retries import (
    Retries,
    is_shed,
    is_tried_again,
    retry_after,
)
from litellm_role_guard.batch.sending.target import Answer

FINE = Answer(200, {"choices": []})
AT_ONCE = Retries(4, 0.0, 0.0)


class Server:
    """Answers as it is told, and counts what is under way."""

    def __init__(self, answer: Callable[[int, int], Answer], seconds: float = 0.0) -> None:
        self._answer = answer
        self._seconds = seconds
        self.tries: dict[int, int] = {}
        self.now = self.most = 0

    async def ask(self, request: BatchRequest) -> Answer:
        """Answer one try."""
        tries = self.tries[request.number] = self.tries.get(request.number, 0) + 1
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(self._seconds)
        self.now -= 1
        return self._answer(request.number, tries)


class Source:
    """Requests without end, or so many; counts those that were taken."""

    def __init__(self, count: int = 10**9) -> None:
        self._count = count
        self.taken = 0

    async def __aiter__(self) -> AsyncIterator[BatchRequest]:
        """Yield them."""
        while self.taken < self._count:
            self.taken += 1
            yield BatchRequest(self.taken - 1, f"{self.taken}", "/v1/chat/completions", {})


def dispatcher(server: Server, most: int, retries: Retries = AT_ONCE) -> Dispatcher:
    """Give what sends to a server."""
    return Dispatcher(server, Pace(most), retries)


async def all_of(sending: Dispatcher, source: Source) -> list[BatchResult]:
    """Give all results."""
    return [result async for result in sending.results(aiter(source))]


async def test_no_more_than_the_bound_are_under_way() -> None:
    """And never less, while there is something left."""
    server = Server(lambda number, tries: FINE, 0.001)
    results = await all_of(dispatcher(server, 7), Source(100))
    assert sorted(result.number for result in results) == list(range(100))
    assert server.most == 7


async def test_the_reader_waits_for_room() -> None:
    """Of an endless input no more is taken than may be under way, twice over."""
    server, source = Server(lambda number, tries: FINE), Source()
    results = dispatcher(server, 5).results(aiter(source))
    assert (await anext(results)).answered
    await asyncio.sleep(0.02)  # nobody takes further results meanwhile
    assert source.taken <= 20
    await results.aclose()


@pytest.mark.parametrize("status", [None, 408, 429, 500, 502, 503, 529])
async def test_what_may_pass_is_tried_again(status: int | None) -> None:
    """Until it is answered, and the tries are counted."""
    server = Server(lambda number, tries: FINE if tries == 3 else Answer(status, words="no"))
    (result,) = await all_of(dispatcher(server, 2), Source(1))
    assert (result.answered, result.tries) == (True, 3)


@pytest.mark.parametrize("status", [400, 401, 404, 413, 422])
async def test_what_is_refused_is_refused(status: int) -> None:
    """One try, and the server's words."""
    server = Server(lambda number, tries: Answer(status, words="no"))
    (result,) = await all_of(dispatcher(server, 2), Source(1))
    assert (result.answered, result.tries, result.error) == (False, 1, "no")
    assert not is_tried_again(status)


async def test_in_the_end_it_is_given_up() -> None:
    """After so many tries the last failure is the result."""
    server = Server(lambda number, tries: Answer(None, words=f"try {tries}"))
    (result,) = await all_of(dispatcher(server, 2), Source(1))
    assert (result.error, result.status, result.tries) == ("try 4", None, 4)


async def test_drained_it_ends_with_what_is_under_way() -> None:
    """Answers on their way are taken, nothing is begun, and nobody waits for a next try."""
    server = Server(lambda number, tries: FINE if number else Answer(500), 0.01)
    sending = dispatcher(server, 4, Retries(9, 3600.0, 3600.0))
    seen = []
    async for result in sending.results(aiter(Source())):
        seen.append(result.number)
        sending.drain()
    assert set(seen) == set(server.tries) - {0}  # which waits for its next try
    assert len(seen) <= 8


async def test_a_bad_line_ends_it_after_what_was_sent_before() -> None:
    """The error is raised once the answers are there."""

    async def broken() -> AsyncIterator[BatchRequest]:
        async for request in Source(3):
            yield request
        raise ValueError("line 4")

    server = Server(lambda number, tries: FINE, 0.01)
    results = dispatcher(server, 8).results(broken())
    assert [(await anext(results)).number for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="line 4"):
        await anext(results)


async def test_a_failure_of_our_own_is_not_lost() -> None:
    """An error that nobody foresaw ends the run loudly."""

    def fail(number: int, tries: int) -> Answer:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        await all_of(dispatcher(Server(fail), 2), Source(3))


async def test_the_pace_falls_by_what_was_shed_and_grows_again() -> None:
    """To what there is room for in one round, and back to the bound without shed load."""
    pace = Pace(100)
    for number in range(100):
        pace.heard(shed=number < 40)
    assert pace.limit == 60
    for _ in range(60 + 65 + 70 + 75 + 80 + 85 + 90 + 95):
        pace.heard(shed=False)
    assert pace.limit == 100
    for _ in range(1000):
        pace.heard(shed=True)
    assert pace.limit == 1


async def test_a_cancelled_wait_leaves_its_place() -> None:
    """Whoever gives up waiting does not take a place with it."""
    pace = Pace(1)
    async with pace:
        waiting = [asyncio.ensure_future(pace.__aenter__()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
    await asyncio.sleep(0)
    assert pace.in_flight == 1
    waiting[1].cancel()  # too late: it has the place
    await asyncio.gather(*waiting[:2], return_exceptions=True)
    if waiting[1].cancelled():
        await waiting[2]
    assert pace.in_flight == 1
    waiting[2].cancel()


def test_pauses_double_and_are_drawn() -> None:
    """Between half and the whole of a time that doubles up to a limit."""
    low, high = Retries(draw=lambda: 0.0), Retries(draw=lambda: 1.0)
    assert [high.pause(tries, None) for tries in (1, 2, 3, 9)] == [0.5, 1.0, 2.0, 30.0]
    assert [low.pause(tries, None) for tries in (1, 2, 3, 9)] == [0.25, 0.5, 1.0, 15.0]


def test_retry_after_is_obeyed() -> None:
    """In seconds or as a date; what is neither is none."""
    assert Retries(draw=lambda: 0.0).pause(1, 7.0) >= 7.0
    assert retry_after({"Retry-After": "7"}) == 7.0
    assert retry_after({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0.0
    later = retry_after({"Retry-After": "Fri, 01 Jan 2100 00:00:00 GMT"})
    assert later is not None
    assert later > 10**9
    for odd in ({}, {"Retry-After": "soon"}, {"Retry-After": "-1"}, {"Retry-After": "9" * 400}):
        assert retry_after(odd) is None
    assert [status for status in (200, 400, 429, 500, 503) if is_shed(status)] == [429, 503]


async def test_a_thread_reads_ahead_no_further_than_it_may() -> None:
    """And what it raises is raised where the items are taken."""
    taken = []

    def items() -> Iterator[int]:
        for number in range(1000):
            taken.append(number)
            yield number
        raise ValueError("torn")

    reading = read_ahead(items(), most=10)
    assert await anext(reading) == 0
    await asyncio.sleep(0.05)
    assert len(taken) <= 13
    with pytest.raises(ValueError, match="torn"):
        async for _ in reading:
            pass
    assert len(taken) == 1000
