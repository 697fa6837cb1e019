"""What the client hears of an answer while it passes it on."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest

from litellm_role_guard.plugin.response_capture import ResponseListener
from litellm_role_guard.plugin.retrying_client import (
    RetryingClient,
)
from testing.lessons import Lessons

RESPONSES_URL = "http://backend/v1/responses"
RESPONSE = {"id": "resp_1", "status": "completed", "output": [{"type": "message"}]}


class Stream(httpx.AsyncByteStream):
    """A body that comes in the pieces it is given."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces
        self.is_closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece

    async def aclose(self) -> None:
        """Note that it was closed."""
        self.is_closed = True


class Answering:
    """An inner handler that gives one prepared response."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response

    async def post(self, url: str, **kwargs: Any) -> httpx.Response:
        """Give it."""
        return self.response


def events(*bodies: dict[str, Any], newline: str = "\n") -> bytes:
    """Write events as vLLM does."""
    lines = [line for body in bodies for line in (f"event: {body['type']}", data(body), "")]
    return "".join(f"{line}{newline}" for line in lines).encode()


def data(body: dict[str, Any]) -> str:
    """Write the data of an event."""
    return f"data: {json.dumps(body, ensure_ascii=False, separators=(',', ':'))}"


DELTA = {"type": "response.output_text.delta", "delta": "it says response.completed, and ü"}


async def heard(response: httpx.Response) -> tuple[list[Any], httpx.Response]:
    """Give what is heard of a response while it is asked for; it is not read yet."""
    told: list[Any] = []
    inner: Any = Answering(response)
    client = RetryingClient(inner, Lessons(), parts=[ResponseListener(told.append)])
    return told, await client.post(RESPONSES_URL, json={"input": "hi"})


async def test_a_whole_answer_is_heard() -> None:
    """The response object of an answer that is not streamed is told before it is given."""
    told, response = await heard(httpx.Response(200, json=RESPONSE))
    assert told == [RESPONSE]
    assert response.json() == RESPONSE


@pytest.mark.parametrize("kind", ["response.completed", "response.incomplete"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
async def test_a_streams_last_event_is_heard(kind: str, newline: str, size: int) -> None:
    """However it is cut, each byte arrives as it was, and the response is told before its end."""
    begun = {"type": "response.created", "response": {"id": "resp_1", "status": "in_progress"}}
    whole = events(begun, DELTA, {"response": RESPONSE, "type": kind}, newline=newline)
    pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
    stream = Stream(pieces)
    told, response = await heard(httpx.Response(200, stream=stream))
    read = b""
    async for piece in response.aiter_bytes():
        read += piece
        is_read_whole = json.dumps(RESPONSE, separators=(",", ":")).encode() in read
        assert not is_read_whole or told or not read.endswith(newline.encode())
    assert read == whole
    assert told == [RESPONSE]
    await response.aclose()
    assert stream.is_closed


@pytest.mark.parametrize(
    "body",
    [
        events(DELTA),
        events({"type": "response.failed", "response": RESPONSE}),
        b"data: response.completed\n\n",
        b'data: ["response.completed"]\n\n',
        events({"type": "response.completed", "response": None}),
        events({"type": "response.completed", "response": RESPONSE})[:-20],
    ],
)
async def test_nothing_is_heard_of_a_stream_that_does_not_end_well(body: bytes) -> None:
    """A stream that breaks off, fails or is none arrives as it is."""
    told, response = await heard(httpx.Response(200, stream=Stream([body])))
    assert await response.aread() == body
    assert told == []


async def test_a_compressed_stream_is_left_alone() -> None:
    """It can only be read by whoever decompresses it."""
    stream = Stream([b"..."])
    headers = {"content-encoding": "gzip"}
    told, response = await heard(httpx.Response(200, stream=stream, headers=headers))
    assert response.stream is stream
    assert told == []


@pytest.mark.parametrize("body", [b"no JSON", b"[]", b"null", b"\xff"])
async def test_an_answer_of_another_kind_is_passed_on(body: bytes) -> None:
    """It is LiteLLM that says what is wrong with it."""
    told, response = await heard(httpx.Response(200, content=body))
    assert (response.content, told) == (body, [])


async def test_an_error_while_listening_costs_the_client_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is logged without its words, and the answer arrives."""

    def fail(response: Mapping[str, Any]) -> None:
        raise ValueError(response["id"])

    inner: Any = Answering(httpx.Response(200, json=RESPONSE))
    client = RetryingClient(inner, Lessons(), parts=[ResponseListener(fail)])
    assert (await client.post(RESPONSES_URL, json={"input": "hi"})).json() == RESPONSE
    assert "cannot be gone on from" in caplog.text
    assert "resp_1" not in caplog.text
