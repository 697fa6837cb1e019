"""Tokens are turned back into prompts, and refusals into the template's words."""

from __future__ import annotations

import json
from collections import Counter

import httpx
import pytest

from litellm_role_guard import ChatTemplate, TemplateProfile
from litellm_role_guard.backend import prompts
from litellm_role_guard.backend.errors import LearningFailed
from litellm_role_guard.backend.prompts import refusal_of
from litellm_role_guard.backend.server import RENDER
from litellm_role_guard.probing import oracle
from litellm_role_guard.probing.live import learn_from_backend
from litellm_role_guard.simulator import create_app
from testing.asked_backend import at
from testing.asked_vllm import MODEL, behind
from testing.templates import STRICT, TEMPLATES


async def test_no_chunk_of_tokens_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prompts are turned back into text together, and never so many that others have to wait."""
    monkeypatch.setattr(oracle, "TOKENS_AT_ONCE", 200)
    log: list[httpx.Request] = []
    template = ChatTemplate.from_path(STRICT)
    async with behind(template, log) as client:
        profile = await learn_from_backend(at("http://vllm", client, model=MODEL))
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
        profile = await learn_from_backend(at("http://vllm", client, model=MODEL))
        prompt = await prompts.prompt_of(
            at("http://vllm", client, model=MODEL), [{"role": "user", "content": "hello"}]
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
        await learn_from_backend(at("http://me:secret@127.0.0.1:1/v1", model=MODEL))


async def test_a_refusal_is_told_in_the_templates_words() -> None:
    """What `/tokenize` refuses; nothing where it takes a conversation."""
    user = {"role": "user", "content": "hello"}
    async with behind(ChatTemplate.from_path(STRICT), []) as client:
        assert await refusal_of(at("http://vllm", client, model=MODEL), [user]) is None
        said = await refusal_of(at("http://vllm", client, model=MODEL), [user, user])
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
        learnt = await learn_from_backend(at("http://vllm", client, model=MODEL))
    assert learnt == TemplateProfile.learn(template)


async def test_the_api_key_goes_with_every_request() -> None:
    """As the bearer token; none is sent where there is none."""
    log: list[httpx.Request] = []
    async with behind(ChatTemplate.from_path(STRICT), log) as client:
        await learn_from_backend(at("http://vllm", client, model=MODEL, api_key="sk-1"))
        assert {request.headers.get("authorization") for request in log} == {"Bearer sk-1"}
        log.clear()
        await learn_from_backend(at("http://vllm", client, model=MODEL))
        assert {request.headers.get("authorization") for request in log} == {None}


async def test_further_fields_go_with_every_conversation() -> None:
    """A request's own template, or variables of the server's, are part of the question."""
    text = "{% for m in messages %}{{ m.role }}{{ m.content if deep }}{% endfor %}"
    fields = {"chat_template_kwargs": {"deep": True}}
    log: list[httpx.Request] = []
    async with behind(ChatTemplate(text), log, chat_template=text) as client:
        profile = await learn_from_backend(at("http://vllm", client, model=MODEL, fields=fields))
        assert profile.follows["user"]["assistant"] == "accepted"
        with pytest.raises(LearningFailed, match="not in its prompt"):
            await learn_from_backend(at("http://vllm", client, model=MODEL))


class Rendering(httpx.AsyncBaseTransport):
    """A vLLM whose chat is rendered by another template than `/tokenize` shows, like gpt-oss'."""

    def __init__(self, chat: ChatTemplate, tokenize: ChatTemplate) -> None:
        self._chat = httpx.ASGITransport(create_app(chat, model=MODEL, enable_scale_out=True))
        self._other = httpx.ASGITransport(create_app(tokenize, model=MODEL))
        self.asked: Counter[str] = Counter()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Count a request, and have it answered."""
        self.asked[request.url.path] += 1
        inner = self._chat if request.url.path == RENDER else self._other
        return await inner.handle_async_request(request)


PLAIN = TEMPLATES / "plain.jinja"


async def test_what_chat_itself_reads_is_learnt_where_it_is_told() -> None:
    """`/tokenize` may show a prompt that no model reads; it is not asked about a conversation."""
    chat = ChatTemplate.from_path(STRICT)
    vllm = Rendering(chat, ChatTemplate.from_path(PLAIN))
    async with httpx.AsyncClient(transport=vllm) as client:
        backend = at("http://vllm", client, model=MODEL)
        assert await learn_from_backend(backend) == TemplateProfile.learn(chat)
        run = [{"role": "assistant", "content": "hi"}] * 2
        assert "alternate" in str(await refusal_of(backend, run))
        user = [{"role": "user", "content": "hi"}]
        assert await prompts.prompt_of(backend, user) == chat.render(user)
    assert vllm.asked["/tokenize"] <= 1  # of the text that parts the prompts


async def test_a_backend_that_does_not_tell_what_chat_reads_is_asked_for_it_once() -> None:
    """Then `/tokenize` is asked for all."""
    log: list[httpx.Request] = []
    template = ChatTemplate.from_path(STRICT)
    async with behind(template, log) as client:
        await learn_from_backend(at("http://vllm", client, model=MODEL))
    paths = [request.url.path for request in log]
    assert paths.count(RENDER) == 1
    assert paths.count("/tokenize") > 10


async def test_tools_are_shown_without_a_parser_of_calls() -> None:
    """A vLLM without one takes tools with a tool choice of "none" only, and shows them then."""
    shows_tools = ChatTemplate(
        "{% if tools %}[{{ tools[0].function.name }}]{% endif %}"
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    )
    vllm = Rendering(shows_tools, ChatTemplate.from_path(PLAIN))
    user = [{"role": "user", "content": "hi"}]
    tools = [{"type": "function", "function": {"name": "clock", "parameters": {}}}]
    async with httpx.AsyncClient(transport=vllm) as client:
        prompt = await prompts.prompt_of(at("http://vllm", client, model=MODEL), user, tools=tools)
    assert prompt == "[clock]<user>hi"
