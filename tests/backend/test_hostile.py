"""A backend that means harm costs a failed learning: bounded in bytes, in time, in depth."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from litellm_role_guard import ChatTemplate, TemplateProfile, repair
from litellm_role_guard.backend.answer import (
    MAX_BYTES,
    MAX_VALUES,
    AnswerTooLong,
    has_few_values,
    read_answer,
)
from litellm_role_guard.backend.errors import LearningFailed
from litellm_role_guard.backend.identity import read_identity
from litellm_role_guard.plugin.error_body import error_message
from litellm_role_guard.plugin.response_capture import MAX_LINE_BYTES, ResponseCapture
from litellm_role_guard.probing import isolated
from litellm_role_guard.probing.live import learn_from_backend
from litellm_role_guard.probing.oracle import MAX_CHARACTERS, MAX_PROMPT_TOKENS
from litellm_role_guard.simulator import create_app
from testing.asked_backend import at
from testing.asked_vllm import MODEL, asking
from testing.conversations import assistant, developer, system, user
from testing.templates import OURS

DEEP = "[" * 50_000
MOST_QUESTIONS = 1000
"""Of one that answers otherwise each time, which is asked some 500; a sound one is asked 200."""
MIXED = [
    system("the rules"),
    user("the first"),
    user("the second"),
    assistant("an answer"),
    developer("a further rule"),
    assistant("another answer"),
    user("the last"),
]
PIECE = b"x" * 2**20


class Flood(httpx.AsyncByteStream):
    """An answer without end; counts what was read of it."""

    read = 0

    def __init__(self, piece: bytes, pause: float = 0.0) -> None:
        self._piece = piece
        self._pause = pause

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            self.read += len(self._piece)
            yield self._piece
            await asyncio.sleep(self._pause)


def answering(**answer: Any) -> httpx.AsyncClient:
    """Give a client that gets the same answer to everything, and would follow any redirect."""
    client = asking(lambda request: httpx.Response(**{"status_code": 200, **answer}))
    client.follow_redirects = True
    return client


async def failure(client: httpx.AsyncClient, **options: Any) -> str:
    """Give the words with which learning fails, which are one line."""
    async with client:
        with pytest.raises(LearningFailed) as failed:
            await learn_from_backend(at("http://vllm", client, model=MODEL), **options)
    assert "\n" not in str(failed.value)
    return str(failed.value)


async def test_a_packed_answer_is_not_unpacked() -> None:
    """A few bytes may stand for gigabytes; not one of them is read."""
    stream = Flood(gzip.compress(bytes(2**24)))
    packed = {"Content-Encoding": "gzip"}
    assert "the answer is packed" in await failure(answering(headers=packed, stream=stream))
    assert stream.read == 0


async def test_an_answer_without_end_is_read_to_a_limit() -> None:
    """Of a flood no more is kept than of the longest honest answer."""
    stream = Flood(PIECE)
    assert f"longer than {MAX_BYTES} bytes" in await failure(answering(stream=stream))
    assert stream.read <= MAX_BYTES + 2 * len(PIECE)


async def test_an_answer_byte_by_byte_ends_in_time() -> None:
    """Each byte comes in time, and all of them never do."""
    drip = answering(stream=Flood(b" ", 0.01))
    assert "no answer within" in await failure(drip, seconds=0.05)


async def test_a_redirect_is_not_followed() -> None:
    """The headers of a deployment may hold a secret, which is not for another host."""
    asked: list[str] = []

    def elsewhere(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        return httpx.Response(307, headers={"Location": "http://thief/v1/models"})

    client = asking(elsewhere)
    client.follow_redirects = True
    assert "with 307" in await failure(client)
    assert set(asked) == {"vllm"}


@pytest.mark.parametrize("tokens", [["x"], [None], [[1]], [1.5], [True], {}, "12", DEEP])
async def test_odd_tokens_are_no_answer(tokens: Any) -> None:
    """What is no list of whole numbers tells nothing."""
    odd = answering(json={"tokens": tokens, "token_ids": tokens})
    assert "gives no tokens" in await failure(odd)


async def test_an_answer_nested_without_end_is_no_answer() -> None:
    """Python's parser runs into its limit, and the learning fails as with any other nonsense."""
    assert "gives no tokens" in await failure(answering(text=DEEP))


@pytest.mark.parametrize(
    "wide",
    ['{"tokens": [1], "x": [' + "[]," * 100_000 + "1]}", "[" + "1," * 2_000_000 + "1]"],
    ids=["lists", "numbers"],
)
async def test_an_answer_of_countless_values_is_not_read(wide: str) -> None:
    """Within the bytes that are allowed, they would hold up the event loop for seconds."""
    assert "too many values" in await failure(answering(text=wide))


async def test_many_values_in_many_answers_come_to_an_end() -> None:
    """Each answer is within its limit, and together they would cost minutes of the event loop."""
    asked = 0

    def wide(request: httpx.Request) -> httpx.Response:
        nonlocal asked
        asked += 1
        said = {"tokens": [1], "prompt": "zq00vx" * asked, "x": [1] * (MAX_VALUES // 2)}
        return httpx.Response(200, json=said)

    assert "too many values" in await failure(asking(wide))
    assert asked < 40


def test_values_within_a_text_are_words() -> None:
    """A prompt of source code may hold any number of brackets and commas."""
    text = 'x["a\\"] = [{},\\]' * 100_000
    assert has_few_values(json.dumps({"prompt": text, "tokens": [1, 2]}).encode())


async def test_tokens_without_end_make_no_prompt() -> None:
    """Of a few words no template makes so many, and each of them would be kept."""
    long = answering(json={"tokens": [1] * (MAX_PROMPT_TOKENS + 1), "prompt": "zq00vx"})
    assert "tokens" in await failure(long)


async def test_texts_without_end_are_not_kept() -> None:
    """Each text is one that a backend might have, and all of them would fill the memory."""
    kept = 0

    def chatty(request: httpx.Request) -> httpx.Response:
        nonlocal kept
        text = request.content.decode() + " " * 2**20
        kept += len(text) * request.url.path.endswith("/detokenize")
        tokens = list(map(ord, request.content.decode()))
        return httpx.Response(200, json={"tokens": tokens, "prompt": "zq00vx " + text})

    assert "characters in all" in await failure(asking(chatty))
    assert kept <= MAX_CHARACTERS + 8 * 2**20


@pytest.mark.parametrize("name", [["m"], {"m": 1}, None, 5])
async def test_an_odd_name_of_a_model_is_no_model(name: Any) -> None:
    """A card whose id is no name makes the server one that names no models."""
    async with answering(json={"data": [{"id": name}]}) as client:
        with pytest.raises(LearningFailed, match="names no models"):
            await read_identity(at("http://vllm", client, model=MODEL))


async def test_a_name_without_end_is_no_identity() -> None:
    """What a server is known by again is kept, compared and shared; a book is none of that."""
    book = "x" * 2**20
    card = {"id": MODEL, "root": book}
    async with answering(json={"data": [card], "version": book}) as client:
        assert await read_identity(at("http://vllm", client, model=MODEL)) == (None, None, None)


async def test_metrics_are_bounded_as_well() -> None:
    """Whoever asks may set a lower limit."""
    async with answering(stream=Flood(b"x" * 1000)) as client:
        with pytest.raises(AnswerTooLong):
            await read_answer(
                client, "GET", "http://vllm/metrics", headers={}, seconds=1, max_bytes=5000
            )


@pytest.mark.parametrize(
    "template",
    [
        "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}"
        "{% endfor %}{% endfor %}{% endfor %}",
        5,
        {"a": 1},
        [{"name": ["x"], "template": "x"}],
        "{% if %}",
    ],
    ids=["loop", "number", "object", "odd name", "no template"],
)
async def test_a_template_that_means_harm_tells_nothing(
    template: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loop without end is ended with its process; nonsense is nothing."""
    monkeypatch.setattr(isolated, "LONGEST_SECONDS", 3.0)
    assert await isolated.learn_isolated({"chat_template": template}) is None


async def test_a_template_gets_nothing_of_the_proxys_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the proxy knows, keys above all, is not there where a backend's template runs."""
    seen: dict[str, Any] = {}

    async def started(*_: Any, **options: Any) -> Any:
        seen.update(options)
        raise OSError

    monkeypatch.setenv("LITELLM_SALT_KEY", "secret")
    monkeypatch.setattr(asyncio, "create_subprocess_exec", started)
    assert await isolated.learn_isolated({"chat_template": "x"}) is None
    assert list(seen["env"]) == ["PYTHONPATH"]


@pytest.mark.parametrize("seed", range(2))
async def test_another_template_each_time_comes_to_an_end(seed: int) -> None:
    """Answers that fit no template end in some profile, or none, after few more questions than a
    sound vLLM is asked; and what such a profile repairs is whole."""
    draw = random.Random(seed)
    apps = [create_app(ChatTemplate.from_path(path), model=MODEL) for path in OURS]
    asked = 0

    async def fickle(scope: Any, receive: Any, send: Any) -> None:
        nonlocal asked
        asked += 1
        await draw.choice(apps)(scope, receive, send)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(fickle)) as client:
        backend = at("http://vllm", client, model=MODEL)
        try:
            profile = await learn_from_backend(backend, longest_seconds=60)
        except LearningFailed:
            profile = TemplateProfile.cautious()
    assert asked < MOST_QUESTIONS
    repaired = json.dumps(repair(MIXED, profile).messages)
    assert all(message["content"] in repaired for message in MIXED)


async def test_the_words_of_a_backend_steer_no_terminal() -> None:
    """What it says is logged: one line, without signs that colour, hide or turn text round."""
    words = "no\x1b[2J\x07 room\r\n\u202efor\x9b31m you"
    refused = answering(status_code=400, json={"error": {"message": words}})
    assert (await failure(refused)).endswith("no [2J room for 31m you")


def test_a_refusal_nested_without_end_is_its_own_words() -> None:
    """A 400 that is no JSON that anybody can read is passed on as it is."""
    assert error_message(DEEP) == DEEP


async def test_a_stream_without_a_line_break_is_passed_and_not_kept() -> None:
    """What the guard reads along is bounded, and each byte goes on to who asked for it."""
    stream = Flood(PIECE)
    heard: list[object] = []
    capture = ResponseCapture(stream, heard.append)
    passed = held = 0
    async for piece in capture:
        passed += len(piece)
        held = max(held, stream.read)
        if passed > 3 * MAX_LINE_BYTES:
            break
    assert passed > 3 * MAX_LINE_BYTES
    assert heard == []
