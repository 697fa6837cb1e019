"""What a backend cannot tell is an error of one line, and no answer."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler

from litellm_role_guard import ChatTemplate, TemplateProfile
from litellm_role_guard.backend import server
from litellm_role_guard.backend.errors import LearningFailed
from litellm_role_guard.backend.identity import read_identity
from litellm_role_guard.probing.live import learn_from_backend
from litellm_role_guard.simulator import create_app
from testing.asked_backend import at
from testing.asked_vllm import MODEL, asking, behind, simulated
from testing.serving import serving
from testing.templates import STRICT


async def test_an_unreachable_backend_is_one_line() -> None:
    """Nobody listens there."""
    with pytest.raises(LearningFailed, match=r"^http://127\.0\.0\.1:1: cannot be reached: .+$"):
        await learn_from_backend(at("http://127.0.0.1:1/v1", model=MODEL))


@pytest.mark.parametrize("address", ["localhost", "localhost:8000/v1", "http://localhost:99999"])
async def test_a_bad_address_is_one_line(address: str) -> None:
    """It is no URL at all, or asyncio raises an error of its own for its port."""
    with pytest.raises(LearningFailed, match=r"^(http://)?localhost(:\d+)?: is no address: .+$"):
        await learn_from_backend(at(address, model=MODEL))


async def test_a_key_beside_a_password_in_the_address_is_one_line() -> None:
    """The transport of LiteLLM's clients sends one alone, and raises no error of httpx's."""
    address = "http://ann:hidden@127.0.0.1:1/v1"
    handler = AsyncHTTPHandler()
    with pytest.raises(LearningFailed, match="cannot be reached: Cannot combine") as failed:
        await learn_from_backend(at(address, handler.client, model=MODEL, api_key="sk-1"))
    await handler.client.aclose()
    assert "hidden" not in str(failed.value)


def error(status: int, words: str) -> httpx.Response:
    """Give an error of vLLM's form."""
    return httpx.Response(status, json={"error": {"message": words, "code": status}})


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (httpx.Response(404, json={"detail": "Not Found"}), "has no /tokenize; is it a vLLM?"),
        (httpx.Response(401, json={"error": "Unauthorized"}), "wants an API key (401)"),
        (error(500, "boom\nbang"), "answered /tokenize with 500: boom bang"),
        (httpx.Response(503, text="<html>"), "answered /tokenize with 503"),
        (httpx.Response(400, text="<html>"), "answered /tokenize with 400"),
        (httpx.Response(200, text="hello"), "/tokenize gives no tokens; is it a vLLM?"),
        (httpx.Response(200, json=[1]), "/tokenize gives no tokens; is it a vLLM?"),
        (error(400, "no chat template"), "refuses even a lone user message: no chat template"),
    ],
)
async def test_a_failure_is_one_line(response: httpx.Response, words: str) -> None:
    """Each way to fail has its own words, with the backend's address."""
    with pytest.raises(LearningFailed, match=f"^{re.escape('http://vllm: ' + words)}$"):
        async with asking(lambda request: response) as client:
            await learn_from_backend(at("http://vllm/v1", client, model=MODEL))


async def test_a_refused_api_key_is_told_from_a_missing_one() -> None:
    """The one has to be changed, the other to be given."""
    async with asking(lambda request: httpx.Response(401)) as client:
        with pytest.raises(LearningFailed, match="refuses the API key"):
            await learn_from_backend(at("http://vllm", client, model=MODEL, api_key="sk-1"))


@contextmanager
def failing_at(role: str, status: int, words: str) -> Iterator[str]:
    """Serve a simulator that fails where a message of a role is in the conversation."""
    inner = create_app(ChatTemplate.from_path(STRICT), model=MODEL)
    app = FastAPI()

    @app.middleware("http")
    async def fail(request: Request, call_next: Any) -> Response:
        body = await request.body()
        asked = json.loads(body) if body else {}
        if any(message["role"] == role for message in asked.get("messages", ())):
            return JSONResponse({"error": {"message": words}}, status)
        forwarded: Response = await call_next(request)
        return forwarded

    app.mount("/", inner)
    with serving(app) as url:
        yield url


@pytest.mark.parametrize(
    ("status", "words"),
    [(500, "internal"), (400, "This model's maximum context length is 8 tokens")],
)
async def test_a_failure_on_the_way_is_no_answer(status: int, words: str) -> None:
    """What is not about the conversation does not get into a profile."""
    with failing_at("function", status, words) as url, pytest.raises(LearningFailed, match=words):
        await learn_from_backend(at(url, model=MODEL))


@pytest.mark.parametrize(
    "words",
    [
        "Unknown role",
        "1 validation error:\n  {'loc': 'body.messages.0.role', 'msg': 'Input should be ...'}",
        "[{'loc': ('body', 'TokenizeChatRequest', 'messages', 0, 'role'), 'msg': 'Input should'}]",
    ],
)
async def test_a_refused_message_is_an_answer(words: str) -> None:
    """By the template or by the server's request model: a chat request would be refused, too."""
    with failing_at("function", 400, words) as url:
        profile = await learn_from_backend(at(url, model=MODEL))
    assert {row["function"] for row in profile.follows.values()} == {"refused"}


async def test_a_tokenize_without_tools_says_nothing_of_them() -> None:
    """The answers for requests with tools are then those for requests without."""
    template = ChatTemplate(
        "{% if tools %}{{ messages[1:] }}{% endif %}"
        "{% for m in messages %}{{ m.role }}{{ m.content }}{% endfor %}"
    )
    inner = behind(template, [])

    class Old(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if b'"tools"' in request.content:
                return error(400, "{'type': 'extra_forbidden', 'loc': ('body', 'tools')}")
            response = await inner.post(
                str(request.url), content=request.content, headers=request.headers
            )
            return httpx.Response(response.status_code, content=response.content)

    async with inner, httpx.AsyncClient(transport=Old()) as client:
        profile = await learn_from_backend(at("http://vllm", client, model=MODEL))
    assert profile.follows["user"]["user"] == "accepted"
    assert profile.with_tools is None


async def test_a_backend_that_hangs_is_given_up() -> None:
    """Once it has left a question unanswered for too long, over any connections."""
    with simulated(STRICT) as url:
        httpx.post(f"{url}/control", json={"fault": "hang"})
        words = f"{url}: no answer within 0.05 s"
        async with httpx.AsyncClient() as patient:
            for client in (patient, None):
                with pytest.raises(LearningFailed, match=f"^{re.escape(words)}$"):
                    await learn_from_backend(at(url, client, model=MODEL), seconds=0.05)
                with pytest.raises(LearningFailed, match=f"^{re.escape(words)}$"):
                    await read_identity(at(url, client, model=MODEL), seconds=0.05)


def slowly(seconds: float) -> httpx.AsyncClient:
    """Give a client of the simulator, in this process, that takes a moment for each answer."""
    inner = httpx.ASGITransport(create_app(ChatTemplate.from_path(STRICT), model=MODEL))

    class Slow(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await asyncio.sleep(seconds)
            return await inner.handle_async_request(request)

    return httpx.AsyncClient(transport=Slow())


@pytest.mark.usefixtures("skipped_waits")
async def test_a_backend_that_answers_has_more_time_than_one_that_hangs() -> None:
    """A hundred answers, each in time, may take longer than any single one."""
    began = time.monotonic()
    async with slowly(0.02) as client:
        backend = at("http://vllm", client, model=MODEL)
        learnt = await learn_from_backend(backend, concurrency=1, seconds=1)
    assert time.monotonic() - began > 1
    assert learnt == TemplateProfile.learn(ChatTemplate.from_path(STRICT))


@pytest.mark.usefixtures("skipped_waits")
async def test_a_backend_that_takes_forever_in_all_is_given_up() -> None:
    """Even if it answers."""
    async with slowly(0.02) as client:
        with pytest.raises(LearningFailed, match=r"^http://vllm: not learnt within 0\.05 s$"):
            await learn_from_backend(at("http://vllm", client, model=MODEL), longest_seconds=0.05)


@pytest.mark.parametrize("error", [httpx.ReadError, httpx.ConnectError, httpx.RemoteProtocolError])
async def test_a_question_whose_connection_ends_is_put_again(
    error: type[httpx.TransportError],
) -> None:
    """A server may close a kept connection just when it is used: some questions meet that often."""
    inner = httpx.ASGITransport(create_app(ChatTemplate.from_path(STRICT), model=MODEL))
    met: Counter[bytes] = Counter()

    class Dropping(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            met[request.content] += 1
            if met[request.content] <= len(request.content) % 3:
                raise error("Server disconnected")
            return await inner.handle_async_request(request)

    async with httpx.AsyncClient(transport=Dropping()) as client:
        learnt = await learn_from_backend(at("http://vllm", client, model=MODEL))
    assert learnt == TemplateProfile.learn(ChatTemplate.from_path(STRICT))


async def test_a_backend_that_always_hangs_up_is_asked_no_more() -> None:
    """A few times, and the reason is one line."""
    asked = 0

    def drop(request: httpx.Request) -> httpx.Response:
        nonlocal asked
        asked += 1
        raise httpx.ReadError("Server disconnected")

    words = "http://vllm: cannot be reached: Server disconnected"
    async with asking(drop) as client:
        with pytest.raises(LearningFailed, match=f"^{re.escape(words)}$"):
            await learn_from_backend(at("http://vllm", client, model=MODEL))
    assert asked == 1 + len(server.PAUSES_SECONDS)


async def test_a_failure_leaves_no_request_behind() -> None:
    """The others of its batch are given up, and the caller's client stays open."""
    hanging = given_up = asked = 0

    async def answer(request: httpx.Request) -> httpx.Response:
        nonlocal hanging, given_up, asked
        if request.url.path == "/detokenize":
            return httpx.Response(200, json={"prompt": "zq00vx"})
        asked += 1
        if hanging:
            return httpx.Response(500)
        if asked == 15:  # amid the first batch
            hanging += 1
            try:
                await asyncio.sleep(60)
            finally:
                given_up += 1
        return httpx.Response(200, json={"tokens": [1]})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        with pytest.raises(LearningFailed, match="500"):
            await learn_from_backend(at("http://vllm", client, model=MODEL))
        await asyncio.sleep(0)
        assert (hanging, given_up) == (1, 1)
        assert not client.is_closed
