"""Which models a backend serves, and what it is."""

from __future__ import annotations

import httpx
import pytest

from litellm_role_guard import ChatTemplate
from litellm_role_guard.backend.errors import LearningFailed
from litellm_role_guard.backend.identity import read_identity, served_models
from litellm_role_guard.probing.live import learn_from_backend
from testing.asked_backend import at
from testing.asked_vllm import MODEL, asking, behind, simulated
from testing.templates import STRICT


async def test_an_unknown_model_is_named() -> None:
    """In the words of vLLM."""
    with simulated(STRICT) as url, pytest.raises(LearningFailed, match="The model `other` does"):
        await learn_from_backend(at(url, model="other"))


async def test_of_many_served_models_a_few_are_named() -> None:
    """In one line, whatever a name has in it."""
    cards = [{"id": f"model\n{number}" + "x" * 1000} for number in range(1000)]
    served = httpx.Response(200, json={"data": cards})
    async with asking(lambda _: served) as client:
        with pytest.raises(LearningFailed, match="no model 'a b', but model 0x") as failure:
            await read_identity(at("http://vllm", client, model="a\nb"))
    told = str(failure.value)
    assert "\n" not in told
    assert told.endswith("and 995 more")
    assert len(told) < 1500


async def test_models_and_identity_are_told() -> None:
    """The names, and what a profile holds for: version, model and template."""
    text = STRICT.read_text()
    async with behind(ChatTemplate(text), [], chat_template=text) as client:
        assert await served_models(at("http://vllm/v1", client)) == [MODEL]
        shown = await read_identity(at("http://vllm", client, model=MODEL))
        with pytest.raises(LearningFailed, match=f"no model 'other', but {MODEL}"):
            await read_identity(at("http://vllm", client, model="other"))
    with simulated(STRICT) as url:
        hidden = await read_identity(at(url, model=MODEL))
    assert shown[:2] == hidden[:2] == ("0.32.0", MODEL)
    assert shown.template is not None
    assert len(shown.template) == 64
    assert hidden.template is None
