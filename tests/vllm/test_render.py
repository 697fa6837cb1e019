"""A real vLLM that renders requests without answering them: what chat and responses really read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from litellm_role_guard import ChatTemplate, TemplateProfile, repair
from litellm_role_guard.backend.server import RENDER, connected
from litellm_role_guard.endpoints.responses import ResponsesInput
from litellm_role_guard.endpoints.responses_validation import find_input_error
from litellm_role_guard.probing.live import learn_from_backend
from litellm_role_guard.probing.probe import same_rendering
from testing.asked_backend import at
from testing.real_templates import REAL, name
from testing.response_items import drawn_bodies
from testing.vllm import MODEL, SPECIAL_TOKENS, serving_with

COUNT = 60

(LLAMA,) = (path for path in REAL if name(path) == "trl-llama3_1")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a vLLM with a template that reads no text beside a call."""
    folder = tmp_path_factory.mktemp("render")
    with serving_with(LLAMA, folder, "--enable-scale-out") as address:
        yield address


async def prompt_of_responses(url: str, arguments: dict[str, Any]) -> str:
    """Give the prompt that vLLM makes of a /v1/responses request."""
    async with connected(at(url, model=MODEL)) as server:
        answer = await server.post("/v1/responses/render", {"model": MODEL, **arguments})
        return await server.detokenize(answer["token_ids"])


async def test_the_endpoint_itself_is_asked_and_says_what_the_file_says(url: str) -> None:
    """Chat's own rendering is learnt from where it is open."""
    log: list[str] = []

    async def note(request: httpx.Request) -> None:
        log.append(request.url.path)

    async with httpx.AsyncClient(timeout=60, event_hooks={"request": [note]}) as client:
        profile = await learn_from_backend(at(url, client, model=MODEL))
    template = ChatTemplate(LLAMA.read_text(), special_tokens=SPECIAL_TOKENS)
    assert profile == TemplateProfile.learn(template)
    assert log.count(RENDER) > log.count("/tokenize")
    assert log.count("/tokenize") <= 1  # of the text that parts the prompts


async def test_text_before_a_call_is_read_on_responses(url: str) -> None:
    """As it comes, the text is lost beside the call; repaired, both are in the prompt."""
    call = {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"}
    result = {"type": "function_call_output", "call_id": "c1", "output": "a tree"}
    said = {"role": "assistant", "content": "I will look."}
    items = [{"role": "user", "content": "What is there?"}, said, call, result]
    conversation = ResponsesInput(items, None)
    before = await prompt_of_responses(url, {"input": items})
    assert "I will look." not in before
    profile = TemplateProfile.learn(ChatTemplate.from_path(LLAMA))
    repaired = repair(conversation.messages, profile).messages
    prompt = await prompt_of_responses(url, conversation.arguments(repaired))
    places = [prompt.index(text) for text in ("What is there?", "I will look.", "look", "a tree")]
    assert places[0] < places[1] < places[3]


async def test_what_is_repaired_for_responses_is_what_vllm_renders(url: str) -> None:
    """The prompt is that of the repaired messages, each text of the client's in it."""
    template = ChatTemplate(LLAMA.read_text(), special_tokens=SPECIAL_TOKENS)
    profile = TemplateProfile.learn(template)
    compared = 0
    for body in drawn_bodies(COUNT, media=False):
        if find_input_error(body.request_input, body.instructions) is not None:
            continue
        conversation = ResponsesInput(body.request_input, body.instructions)
        if conversation.prefill:
            continue
        compared += 1
        repaired = repair(conversation.messages, profile).messages
        prompt = await prompt_of_responses(url, conversation.arguments(repaired))
        assert same_rendering(prompt, template.render(repaired))
        assert [mark for mark in body.marks if mark not in prompt] == []
    assert compared > COUNT / 2
