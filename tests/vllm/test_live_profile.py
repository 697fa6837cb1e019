"""A profile learnt from a real vLLM is the one learnt from the template's file."""

from __future__ import annotations

from pathlib import Path

import pytest

from litellm_role_guard import ChatTemplate, TemplateProfile
from litellm_role_guard.live import learn_from_vllm, read_identity, served_models
from tests.real_templates import REAL, name
from tests.test_live import as_served
from tests.vllm.conftest import MODEL, SPECIAL_TOKENS


def from_file(path: Path) -> TemplateProfile:
    """Give the profile of a template as a vLLM with the tiny model would serve it."""
    template = ChatTemplate(path.read_text(), special_tokens=SPECIAL_TOKENS)
    return as_served(TemplateProfile.learn(template))


@pytest.mark.parametrize("path", REAL, ids=name)
async def test_the_live_profile_is_that_of_the_file(path: Path, vllm_url: str) -> None:
    """For every real template, brought by the request."""
    fields = {"chat_template": path.read_text()}
    assert await learn_from_vllm(vllm_url, MODEL, fields=fields) == from_file(path)


async def test_the_server_own_template_is_judged(vllm_url: str, gemma_3: Path) -> None:
    """With nothing but the address and the model's name."""
    assert await TemplateProfile.learn_from_vllm(f"{vllm_url}/v1", MODEL) == from_file(gemma_3)


async def test_the_server_tells_what_a_profile_holds_for(vllm_url: str) -> None:
    """Its version, the served model, and where that came from."""
    identity = await read_identity(vllm_url, MODEL)
    assert await served_models(vllm_url) == [MODEL]
    assert identity.version is not None
    assert identity.root is not None
    assert identity.template is None
