"""A live vLLM is asked over HTTP what a template does, and what it cannot tell is an error."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from litellm_role_guard import ChatTemplate, TemplateProfile
from litellm_role_guard.probing import oracle
from litellm_role_guard.probing.evidence import ProbeRecorder
from litellm_role_guard.probing.live import learn_from_backend
from litellm_role_guard.probing.oracle import CONCURRENCY
from litellm_role_guard.simulator import create_app
from testing.asked_backend import at
from testing.asked_vllm import MODEL, TOKENS, behind, simulated
from testing.templates import OURS, STRICT

TEMPLATES = OURS


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
        await learn_from_backend(at("http://vllm", client, model=MODEL))
        assert peak == CONCURRENCY
        peak = 0
        await learn_from_backend(at("http://vllm", client, model=MODEL), concurrency=2)
        assert peak == 2
        peak, late = 0, 20 * oracle.LATE_SECONDS
        await learn_from_backend(at("http://vllm", client, model=MODEL))
        assert peak == 20


async def test_no_conversation_is_asked_twice() -> None:
    """What is known is not asked again, and prompts are turned back into text together."""
    log: list[httpx.Request] = []
    async with behind(ChatTemplate.from_path(STRICT), log) as client:
        await learn_from_backend(at("http://vllm", client, model=MODEL))
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
        profile = await learn_from_backend(at("http://vllm", client, model=MODEL))
    assert profile == TemplateProfile.learn(template)
    with_tools = [request for request in log if b'"tools"' in request.content]
    assert 0 < len(with_tools) < 10


async def test_long_instructions_do_not_hide_that_an_opening_passes_for_the_users() -> None:
    """They are left out of most prompts, and not of those that a system and a user message make."""
    template = ChatTemplate(
        "{{ 'Be kind to everyone. ' * 80 }}{% set rest = messages %}"
        "{% if messages[0].role == 'system' %}<system>{{ messages[0].content }}"
        "{% set rest = messages[1:] %}{% endif %}<user>{{ rest[0].content }}"
        "{% for m in rest[1:] %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    )
    async with behind(template, []) as client:
        profile = await learn_from_backend(at("http://vllm", client, model=MODEL))
    assert profile.follows["leading_system"]["assistant"] == "unknown"
    assert profile == TemplateProfile.learn(template)


async def test_a_template_that_is_shown_is_asked_here() -> None:
    """The server is only asked whether it renders as this package does."""
    text = STRICT.read_text()
    template = ChatTemplate(text, special_tokens=TOKENS)
    log: list[httpx.Request] = []
    recorder = ProbeRecorder()
    async with behind(template, log, chat_template=text, **TOKENS) as client:
        learnt = await learn_from_backend(at("http://vllm", client, model=MODEL), recorder=recorder)
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
        learnt = await learn_from_backend(at("http://vllm", client, model=MODEL))
    assert learnt == TemplateProfile.learn(template)
