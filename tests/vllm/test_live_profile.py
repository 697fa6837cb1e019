"""A profile learnt from a real vLLM is the one learnt from the template's file."""

from __future__ import annotations

from pathlib import Path

import httpx
import litellm
import pytest

from litellm_role_guard import RoleGuard, TemplateProfile
from litellm_role_guard.backend.identity import read_identity, served_models
from litellm_role_guard.backend.prompts import refusal_of
from litellm_role_guard.probing.live import learn_from_backend
from litellm_role_guard.routing.backend_load import requests_of
from testing.asked_backend import at
from testing.judged_by_vllm import from_file
from testing.real_templates import REAL, name
from testing.vllm import MODEL


@pytest.mark.parametrize("path", REAL, ids=name)
async def test_the_live_profile_is_that_of_the_file(path: Path, vllm_url: str) -> None:
    """For every real template, brought by the request."""
    fields = {"chat_template": path.read_text()}
    assert await learn_from_backend(at(vllm_url, model=MODEL, fields=fields)) == from_file(path)


async def test_the_server_own_template_is_judged(vllm_url: str, gemma_3: Path) -> None:
    """With nothing but the address and the model's name."""
    assert await TemplateProfile.learn_from_vllm(f"{vllm_url}/v1", MODEL) == from_file(gemma_3)


async def test_the_plugin_learns_it_at_the_first_request(
    vllm_url: str, gemma_3: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any setting, before the request is sent."""
    guard = RoleGuard(learn_wait=30)
    monkeypatch.setattr(litellm, "callbacks", [guard])
    await litellm.acompletion(
        model=f"hosted_vllm/{MODEL}",
        api_base=f"{vllm_url}/v1",
        messages=[{"role": "user", "content": "hi"}, {"role": "user", "content": "there"}],
        max_tokens=2,
    )
    (known,) = guard._deployments._known.values()
    assert known[1].profile == from_file(gemma_3)
    assert guard.counts["learnt"] == 1


async def test_words_of_a_template_are_told_the_same_by_tokenize(vllm_url: str) -> None:
    """A refusal is known for the template's own by what `/tokenize` says of it."""
    text = "{{ raise_exception('Speak, friend.') }}"
    messages = [{"role": "user", "content": "hi"}]
    body = {"model": MODEL, "messages": messages, "chat_template": text}
    answer = httpx.post(f"{vllm_url}/v1/chat/completions", json=body).json()
    said = await refusal_of(at(vllm_url, model=MODEL, fields={"chat_template": text}), messages)
    assert said == answer["error"]["message"] == "Speak, friend."


async def test_the_server_tells_what_a_profile_holds_for(vllm_url: str) -> None:
    """Its version, the served model, and where that came from."""
    identity = await read_identity(at(vllm_url, model=MODEL))
    assert await served_models(at(vllm_url)) == [MODEL]
    assert identity.version is not None
    assert identity.root is not None
    assert identity.template is None


async def test_the_server_tells_its_load(vllm_url: str) -> None:
    """Nothing is going on there, and its `/metrics` say so in the words that routing reads."""
    assert requests_of(httpx.get(f"{vllm_url}/metrics").text, MODEL) == 0
