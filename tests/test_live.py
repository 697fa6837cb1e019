"""A live vLLM is asked over HTTP what a template does, and what it cannot tell is an error."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from litellm_role_guard import ChatTemplate, TemplateProfile
from litellm_role_guard.backend import prompts, server
from litellm_role_guard.backend.errors import LearningFailed
from litellm_role_guard.backend.identity import read_identity, served_models
from litellm_role_guard.backend.prompts import refusal_of
from litellm_role_guard.probing import oracle
from litellm_role_guard.probing.evidence import ProbeRecorder
from litellm_role_guard.probing.live import learn_from_vllm
from litellm_role_guard.probing.oracle import CONCURRENCY
from litellm_role_guard.simulator import create_app
from tests.serving import serving

STRICT = Path(__file__).parents[1] / "litellm_role_guard" / "simulator" / "strict.jinja"
TEMPLATES = [*sorted((Path(__file__).parent / "templates").glob("*.jinja")), STRICT]
MODEL = "simulated"
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}

Answer = Callable[[httpx.Request], httpx.Response]


@contextmanager
def simulated(path: Path) -> Iterator[str]:
    """Serve a template; give the address."""
    with serving(create_app(ChatTemplate.from_path(path), model=MODEL)) as url:
        yield url


def asking(answer: Answer) -> httpx.AsyncClient:
    """Give a client that is answered without a network."""
    return httpx.AsyncClient(transport=httpx.MockTransport(answer))


def behind(template: ChatTemplate, log: list[httpx.Request], **shown: Any) -> httpx.AsyncClient:
    """Give a client of the simulator, in this process, that also shows `/tokenizer_info`."""
    app = FastAPI()

    @app.get("/tokenizer_info")
    async def tokenizer_info() -> dict[str, Any]:
        return {"tokenizer_class": "Gemma", **shown}

    app.mount("/", create_app(template, model=MODEL))

    async def note(request: httpx.Request) -> None:
        log.append(request)

    hooks = {"request": [note]}
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), event_hooks=hooks)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
async def test_what_is_learnt_live_is_what_the_file_says(path: Path) -> None:
    """With /v1 or without, the profile is that of the template which is served."""
    profile = TemplateProfile.learn(ChatTemplate.from_path(path))
    with simulated(path) as url:
        assert await TemplateProfile.learn_from_vllm(url, MODEL) == profile
        assert await TemplateProfile.learn_from_vllm(url + "/v1/", MODEL) == profile


async def test_no_more_requests_are_open_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The backend has other clients to serve; one that waits for a busy process can do more."""
    busy = peak = 0
    late = 0.0

    async def lateness() -> float:
        return late

    monkeypatch.setattr(oracle, "event_loop_lag", lateness)
    inner = httpx.ASGITransport(create_app(ChatTemplate.from_path(STRICT), model=MODEL))

    class Counting(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            nonlocal busy, peak
            busy += 1
            peak = max(peak, busy)
            try:
                await asyncio.sleep(0)
                return await inner.handle_async_request(request)
            finally:
                busy -= 1

    async with httpx.AsyncClient(transport=Counting()) as client:
        await learn_from_vllm("http://vllm", MODEL, client=client)
        assert peak == CONCURRENCY
        peak = 0
        await learn_from_vllm("http://vllm", MODEL, client=client, concurrency=2)
        assert peak == 2
        peak, late = 0, 20 * oracle.LATE_SECONDS
        await learn_from_vllm("http://vllm", MODEL, client=client)
        assert peak == 20


async def test_no_conversation_is_asked_twice() -> None:
    """What is known is not asked again, and prompts are turned back into text together."""
    log: list[httpx.Request] = []
    async with behind(ChatTemplate.from_path(STRICT), log) as client:
        await learn_from_vllm("http://vllm", MODEL, client=client)
    asked = [request.content for request in log if request.url.path == "/tokenize"]
    back = [request for request in log if request.url.path == "/detokenize"]
    # The first question is put before the course, to see whether the backend can be asked.
    assert len(asked) - len(set(asked)) <= 2
    assert len(back) < len(asked) / 4


async def test_tools_that_no_prompt_shows_are_asked_about_once() -> None:
    """Where definitions of tools change nothing, nothing is asked with and without them."""
    log: list[httpx.Request] = []
    template = ChatTemplate("{% for m in messages %}{{ m.role }}{{ m.content }}{% endfor %}")
    async with behind(template, log) as client:
        profile = await learn_from_vllm("http://vllm", MODEL, client=client)
    assert profile == TemplateProfile.learn(template)
    with_tools = [request for request in log if b'"tools"' in request.content]
    assert 0 < len(with_tools) < 10


async def test_no_chunk_of_tokens_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prompts are turned back into text together, and never so many that others have to wait."""
    monkeypatch.setattr(oracle, "TOKENS_AT_ONCE", 200)
    log: list[httpx.Request] = []
    template = ChatTemplate.from_path(STRICT)
    async with behind(template, log) as client:
        profile = await learn_from_vllm("http://vllm", MODEL, client=client)
    assert profile == TemplateProfile.learn(template)
    back = [json.loads(request.content) for request in log if request.url.path == "/detokenize"]
    assert len(back) > 10
    assert max(len(asked["tokens"]) for asked in back) < 2 * 200


async def test_long_instructions_are_turned_back_once_only() -> None:
    """Those that a template puts before every conversation, be they around the system's text."""
    log: list[httpx.Request] = []
    first, last = ("".join(f"rule{at} " for at in range(start, start + 300)) for start in (0, 300))
    strict = STRICT.read_text()
    template = ChatTemplate(
        first
        + "{% if messages[0].role == 'system' %}{{ messages[0].content }}{% endif %}"
        + last
        + strict
    )
    async with behind(template, log) as client:
        profile = await learn_from_vllm("http://vllm", MODEL, client=client)
        prompt = await prompts.prompt_of(
            "http://vllm", MODEL, [{"role": "user", "content": "hello"}], client=client
        )
    assert profile == TemplateProfile.learn(template)
    assert prompt.startswith((first + last).strip())
    back = [json.loads(request.content) for request in log if request.url.path == "/detokenize"]
    words = sum(len(asked["tokens"]) for asked in back)
    asked = sum(request.url.path == "/tokenize" for request in log)
    assert words < asked * len(back[0]["tokens"]) / 4


async def test_a_password_in_the_address_is_not_shown() -> None:
    """What is said of a failure may go into a log."""
    with pytest.raises(LearningFailed, match=r"^http://127\.0\.0\.1:1: cannot be reached"):
        await learn_from_vllm("http://me:secret@127.0.0.1:1/v1", MODEL)


async def test_a_refusal_is_told_in_the_templates_words() -> None:
    """What `/tokenize` refuses; nothing where it takes a conversation."""
    user = {"role": "user", "content": "hello"}
    async with behind(ChatTemplate.from_path(STRICT), []) as client:
        assert await refusal_of("http://vllm", MODEL, [user], client=client) is None
        said = await refusal_of("http://vllm", MODEL, [user, user], client=client)
    assert said is not None
    assert "must alternate" in said


async def test_prompts_are_turned_back_one_by_one_where_the_separator_is_lost() -> None:
    """A tokenizer that does not keep it costs time, and changes no answer."""
    template = ChatTemplate.from_path(STRICT)
    log: list[httpx.Request] = []
    inner = behind(template, log)

    async def lossy(request: httpx.Request) -> httpx.Response:
        response = await inner.send(
            httpx.Request(
                request.method, request.url, content=request.content, headers=request.headers
            )
        )
        text = response.text.replace("zqsepvx", "")
        return httpx.Response(response.status_code, text=text)

    class Lossy(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            return await lossy(request)

    async with inner, httpx.AsyncClient(transport=Lossy()) as client:
        learnt = await learn_from_vllm("http://vllm", MODEL, client=client)
    assert learnt == TemplateProfile.learn(template)


async def test_the_api_key_goes_with_every_request() -> None:
    """As the bearer token; none is sent where there is none."""
    log: list[httpx.Request] = []
    async with behind(ChatTemplate.from_path(STRICT), log) as client:
        await learn_from_vllm("http://vllm", MODEL, "sk-1", client=client)
        assert {request.headers.get("authorization") for request in log} == {"Bearer sk-1"}
        log.clear()
        await learn_from_vllm("http://vllm", MODEL, client=client)
        assert {request.headers.get("authorization") for request in log} == {None}


async def test_further_fields_go_with_every_conversation() -> None:
    """A request's own template, or variables of the server's, are part of the question."""
    text = "{% for m in messages %}{{ m.content if deep else m.role }}{% endfor %}"
    fields = {"chat_template_kwargs": {"deep": True}}
    log: list[httpx.Request] = []
    async with behind(ChatTemplate(text), log, chat_template=text) as client:
        profile = await learn_from_vllm("http://vllm", MODEL, client=client, fields=fields)
        assert profile.follows["user"]["assistant"] == "accepted"
        with pytest.raises(LearningFailed, match="not in its prompt"):
            await learn_from_vllm("http://vllm", MODEL, client=client)


async def test_a_template_that_is_shown_is_asked_here() -> None:
    """The server is only asked whether it renders as this package does."""
    text = STRICT.read_text()
    template = ChatTemplate(text, special_tokens=TOKENS)
    log: list[httpx.Request] = []
    recorder = ProbeRecorder()
    async with behind(template, log, chat_template=text, **TOKENS) as client:
        learnt = await learn_from_vllm("http://vllm", MODEL, client=client, recorder=recorder)
    assert learnt == TemplateProfile.learn(template)
    asked = sum(request.url.path == "/tokenize" for request in log)
    assert asked < len(recorder.renderings) / 2


@pytest.mark.parametrize(
    "shown",
    [
        {"chat_template": (TEMPLATES[0]).read_text()},
        {"chat_template": "{% broken"},
        {"chat_template": None},
        {},
    ],
    ids=["another", "broken", "null", "none"],
)
async def test_a_template_that_the_server_does_not_render_is_not_believed(
    shown: dict[str, Any],
) -> None:
    """Where the server shows another template than it serves, or none, all is asked."""
    template = ChatTemplate.from_path(STRICT)
    async with behind(template, [], **shown) as client:
        learnt = await learn_from_vllm("http://vllm", MODEL, client=client)
    assert learnt == TemplateProfile.learn(template)


async def test_an_unreachable_backend_is_one_line() -> None:
    """Nobody listens there."""
    with pytest.raises(LearningFailed, match=r"^http://127\.0\.0\.1:1: cannot be reached: .+$"):
        await learn_from_vllm("http://127.0.0.1:1/v1", MODEL)


async def test_a_bad_address_is_one_line() -> None:
    """It is no URL at all."""
    with pytest.raises(LearningFailed, match=r"^localhost: cannot be reached: .+$"):
        await learn_from_vllm("localhost", MODEL)


async def test_an_unknown_model_is_named() -> None:
    """In the words of vLLM."""
    with simulated(STRICT) as url, pytest.raises(LearningFailed, match="The model `other` does"):
        await learn_from_vllm(url, "other")


async def test_of_many_served_models_a_few_are_named() -> None:
    """In one line, whatever a name has in it."""
    cards = [{"id": f"model\n{number}" + "x" * 1000} for number in range(1000)]
    served = httpx.Response(200, json={"data": cards})
    async with asking(lambda _: served) as client:
        with pytest.raises(LearningFailed, match="no model 'a b', but model 0x") as failure:
            await read_identity("http://vllm", "a\nb", client=client)
    told = str(failure.value)
    assert "\n" not in told
    assert told.endswith("and 995 more")
    assert len(told) < 1500


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
            await learn_from_vllm("http://vllm/v1", MODEL, client=client)


async def test_a_refused_api_key_is_told_from_a_missing_one() -> None:
    """The one has to be changed, the other to be given."""
    async with asking(lambda request: httpx.Response(401)) as client:
        with pytest.raises(LearningFailed, match="refuses the API key"):
            await learn_from_vllm("http://vllm", MODEL, "sk-1", client=client)


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
        await learn_from_vllm(url, MODEL)


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
        profile = await learn_from_vllm(url, MODEL)
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
        profile = await learn_from_vllm("http://vllm", MODEL, client=client)
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
                    await learn_from_vllm(url, MODEL, client=client, seconds=0.05)
                with pytest.raises(LearningFailed, match=f"^{re.escape(words)}$"):
                    await read_identity(url, MODEL, client=client, seconds=0.05)


def slowly(seconds: float) -> httpx.AsyncClient:
    """Give a client of the simulator, in this process, that takes a moment for each answer."""
    inner = httpx.ASGITransport(create_app(ChatTemplate.from_path(STRICT), model=MODEL))

    class Slow(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await asyncio.sleep(seconds)
            return await inner.handle_async_request(request)

    return httpx.AsyncClient(transport=Slow())


async def test_a_backend_that_answers_has_more_time_than_one_that_hangs() -> None:
    """A hundred answers, each in time, may take longer than any single one."""
    began = time.monotonic()
    async with slowly(0.02) as client:
        how: dict[str, Any] = {"client": client, "concurrency": 1, "seconds": 1}
        learnt = await learn_from_vllm("http://vllm", MODEL, **how)
    assert time.monotonic() - began > 1
    assert learnt == TemplateProfile.learn(ChatTemplate.from_path(STRICT))


async def test_a_backend_that_takes_forever_in_all_is_given_up() -> None:
    """Even if it answers."""
    async with slowly(0.02) as client:
        with pytest.raises(LearningFailed, match=r"^http://vllm: not learnt within 0\.05 s$"):
            await learn_from_vllm("http://vllm", MODEL, client=client, longest_seconds=0.05)


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
        learnt = await learn_from_vllm("http://vllm", MODEL, client=client)
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
            await learn_from_vllm("http://vllm", MODEL, client=client)
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
            await learn_from_vllm("http://vllm", MODEL, client=client)
        await asyncio.sleep(0)
        assert (hanging, given_up) == (1, 1)
        assert not client.is_closed


async def test_models_and_identity_are_told() -> None:
    """The names, and what a profile holds for: version, model and template."""
    text = STRICT.read_text()
    async with behind(ChatTemplate(text), [], chat_template=text) as client:
        assert await served_models("http://vllm/v1", client=client) == [MODEL]
        shown = await read_identity("http://vllm", MODEL, client=client)
        with pytest.raises(LearningFailed, match=f"no model 'other', but {MODEL}"):
            await read_identity("http://vllm", "other", client=client)
    with simulated(STRICT) as url:
        hidden = await read_identity(url, MODEL)
    assert shown[:2] == hidden[:2] == ("0.32.0", MODEL)
    assert shown.template is not None
    assert len(shown.template) == 64
    assert hidden.template is None
