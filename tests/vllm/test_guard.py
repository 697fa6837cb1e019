"""A real LiteLLM proxy with the guard, in front of a real vLLM with the real Gemma 3 template."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from litellm_role_guard.messages.message import call_arguments, texts, tool_calls
from testing import wire
from testing.cases import CASES
from testing.conversations import Case
from testing.proxies import MASTER_KEY, start_proxy
from testing.vllm import MODEL, LoggedVllm

ENDPOINTS: dict[str, tuple[str, Callable[..., dict[str, Any]]]] = {
    "chat": ("/v1/chat/completions", wire.chat),
    "messages": ("/v1/messages", wire.anthropic),
    "responses": ("/v1/responses", wire.responses),
}
WAYS = [
    pytest.param("chat", False, id="chat"),
    pytest.param("chat", True, id="chat-stream"),
    pytest.param("messages", False, id="messages"),
    pytest.param("messages", True, id="messages-stream"),
    pytest.param("responses", False, id="responses"),
    pytest.param("responses", True, id="responses-stream"),
]
by_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def config(logged_vllm: LoggedVllm, settings: dict[str, Any] | None = None) -> dict[str, Any]:
    """Give a proxy's config, with the guard where there are settings for it."""
    deployment = {
        "model_name": MODEL,
        "litellm_params": {"model": f"hosted_vllm/{MODEL}", "api_base": f"{logged_vllm.url}/v1"},
    }
    if settings is None:
        return {"model_list": [deployment]}
    deployment["model_info"] = {"role_guard": settings}
    return {
        "model_list": [deployment],
        "litellm_settings": {"callbacks": ["litellm_role_guard.role_guard"]},
    }


@pytest.fixture(scope="module", params=["told", "learnt"])
def guarded(
    request: pytest.FixtureRequest,
    logged_vllm: LoggedVllm,
    gemma_3: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """The address of a proxy whose guard was told the template, or has to ask the backend."""
    told = {"chat_template": str(gemma_3)}
    settings = told if request.param == "told" else {"learn_wait": 30.0}
    with start_proxy(config(logged_vllm, settings), tmp_path_factory.mktemp("guarded")) as url:
        yield url


@pytest.fixture(scope="module")
def bare(logged_vllm: LoggedVllm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a proxy without the guard."""
    with start_proxy(config(logged_vllm), tmp_path_factory.mktemp("bare")) as url:
        yield url


def ask(url: str, endpoint: str, case: Case, *, stream: bool) -> httpx.Response:
    """Send a case to an endpoint, as one of its clients would."""
    path, written = ENDPOINTS[endpoint]
    limit = "max_output_tokens" if endpoint == "responses" else "max_tokens"
    body = {
        **written(case.messages, case.tools),
        "model": MODEL,
        "stream": stream,
        limit: 8,
    }
    if case.tools and endpoint != "messages":
        body["tool_choice"] = "none"  # the tiny model serves no tool parser
    if case.tools and endpoint == "messages":
        body["tool_choice"] = {"type": "none"}
    headers = {"Authorization": f"Bearer {MASTER_KEY}"}
    return httpx.post(url + path, json=body, headers=headers, timeout=120)


def said(case: Case) -> list[str]:
    """Give every text and every tool argument of a conversation."""
    everything = []
    for message in case.messages:
        everything += [text.strip() for text in texts(message)]
        for call in tool_calls(message):
            everything += json.loads(call_arguments(call)).values()
    return everything


def stream_error(text: str) -> str | None:
    """Give the first event of a stream that is an error."""
    events = [line[6:] for line in text.splitlines() if line.startswith("data: {")]
    return next((event for event in events if json.loads(event).get("error")), None)


@pytest.mark.parametrize(("endpoint", "stream"), WAYS)
@by_case
def test_every_field_case_is_answered_and_read_whole(
    logged_vllm: LoggedVllm, guarded: str, endpoint: str, stream: bool, case: Case
) -> None:
    """200, and every text of the request stands in the prompt that vLLM read."""
    seen = logged_vllm.mark()
    response = ask(guarded, endpoint, case, stream=stream)
    assert response.status_code == 200, response.text
    assert stream_error(response.text) is None
    prompt = logged_vllm.prompts_since(seen)[-1]
    assert [text for text in said(case) if text not in prompt] == []


def test_without_the_guard_the_same_cases_are_refused_or_not_read(
    logged_vllm: LoggedVllm, bare: str, record_property: Callable[[str, object], None]
) -> None:
    """Most of them: the guard has something to repair."""
    refused, unread = [], []
    for case in CASES:
        seen = logged_vllm.mark()
        response = ask(bare, "chat", case, stream=False)
        if response.status_code != 200:
            assert response.status_code == 400, response.text
            refused.append(case.name)
        elif any(text not in logged_vllm.prompts_since(seen)[-1] for text in said(case)):
            unread.append(case.name)
    record_property("refused", refused)
    record_property("unread", unread)
    print(f"\nwithout the guard: {len(refused)} refused, {len(unread)} not read, of {len(CASES)}")
    assert len(refused) >= 12
    assert "14a-system-only" in unread


def test_max_tokens_too_large_is_passed_on_after_one_call(
    logged_vllm: LoggedVllm, guarded: str
) -> None:
    """What no repair can change is not sent again."""
    seen = logged_vllm.mark()
    body = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 99999}
    headers = {"Authorization": f"Bearer {MASTER_KEY}"}
    response = httpx.post(guarded + "/v1/chat/completions", json=body, headers=headers, timeout=60)
    assert response.status_code == 400
    assert "max_tokens" in response.text
    assert logged_vllm.calls_since(seen) == 1
