"""When a call to a backend is over: answered, failed, read to its end, or left by its reader."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler

from litellm_role_guard.plugin.in_flight_stream import InFlightEnd, note_reader
from litellm_role_guard.plugin.retrying_client import observing_client
from litellm_role_guard.routing.in_flight import InFlightRequest

URL = "http://backend/v1/chat/completions"


class Inner(AsyncHTTPHandler):
    """A handler that gives one prepared response, or raises one prepared error."""

    def __init__(self, given: httpx.Response | BaseException) -> None:
        self.given = given

    async def post(self, url: str, **kwargs: Any) -> httpx.Response:
        """Give it."""
        if isinstance(self.given, BaseException):
            raise self.given
        return self.given


async def chunks(*, fails: bool = False) -> AsyncIterator[bytes]:
    """Give a body in three parts, or two and an error."""
    yield b"one"
    yield b"two"
    if fails:
        raise httpx.ReadError("cut")
    yield b"three"


def response(body: Any) -> httpx.Response:
    """Give an answer with a body."""
    return httpx.Response(200, content=body, request=httpx.Request("POST", URL))


async def send(given: httpx.Response | BaseException, counts: Counter[str]) -> httpx.Response:
    """Send a call that is counted."""
    in_flight = InFlightRequest("a", counts)
    client = observing_client({"client": Inner(given)}, parts=[InFlightEnd(in_flight)])
    del in_flight  # the client alone holds it
    assert client is not None
    answer: httpx.Response = await client.post(URL, data="{}")
    return answer


async def test_an_answer_ends_it() -> None:
    """A response that is read already is the end."""
    counts: Counter[str] = Counter()
    answer = await send(response(b"done"), counts)
    assert counts == {}
    assert answer.content == b"done"


@pytest.mark.parametrize("error", [httpx.ConnectError("gone"), TimeoutError(), GeneratorExit()])
async def test_an_error_ends_it(error: BaseException) -> None:
    """Whatever ends the call, a cancellation as well, comes out as it is."""
    counts: Counter[str] = Counter()
    with pytest.raises(type(error)):
        await send(error, counts)
    assert counts == {}


async def test_a_stream_that_is_read_ends_it() -> None:
    """It lasts as long as the stream, which is passed on as it is."""
    counts: Counter[str] = Counter()
    answer = await send(response(chunks()), counts)
    assert counts == {"a": 1}
    assert [part async for part in answer.aiter_raw()] == [b"one", b"two", b"three"]
    assert counts == {}


async def test_a_stream_that_breaks_ends_it() -> None:
    """An error amid the stream reaches its reader and ends it."""
    counts: Counter[str] = Counter()
    answer = await send(response(chunks(fails=True)), counts)
    with pytest.raises(httpx.ReadError):
        await answer.aread()
    assert counts == {}


async def test_a_stream_that_is_closed_ends_it() -> None:
    """A reader who has enough closes it."""
    counts: Counter[str] = Counter()
    answer = await send(response(chunks()), counts)
    await answer.aclose()
    assert counts == {}


async def test_a_stream_that_is_dropped_ends_it() -> None:
    """A reader who just goes away leaves nothing behind."""
    counts: Counter[str] = Counter()
    answer: httpx.Response | None = await send(response(chunks()), counts)
    assert counts == {"a": 1}
    answer = None
    gc.collect()
    assert counts == {}
    assert answer is None


async def test_a_stream_that_somebody_still_holds_ends_with_its_request() -> None:
    """The exception of a client that left may hold it for minutes, half-read or not begun."""
    counts: Counter[str] = Counter()
    held: list[httpx.Response] = []

    async def request() -> None:
        note_reader()
        held.append(await asyncio.create_task(send(response(chunks()), counts)))
        await asyncio.sleep(0)
        assert counts == {"a": 1}  # the call's own task is over

    await asyncio.create_task(request())
    await asyncio.sleep(0)
    assert counts == {}
    assert len(held) == 1
