"""What one client's request provokes changes nothing for the requests of others."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from litellm.exceptions import BadRequestError

from litellm_role_guard import RoleGuard
from litellm_role_guard.plugin.request import LiteLLMRequest

USER = {"role": "user", "content": "hi"}
ARGUMENTS: dict[str, Any] = {
    "model": "hosted_vllm/m",
    "api_base": "http://b/v1",
    "messages": [USER],
    "model_info": {"id": "d"},
}
WORDS = (
    "litellm.BadRequestError: Hosted_vllmException - "
    'tool_choice=function "Conversation roles must alternate" requires --tool-call-parser to be set'
)


def refused(words: str) -> BadRequestError:
    """Return LiteLLM's error for a backend's 400."""
    return BadRequestError(message=words, model="m", llm_provider="hosted_vllm")


@pytest.mark.parametrize(
    "brought",
    [
        {"chat_template": "{{ raise_exception('System role not supported') }}"},
        {"extra_body": {"chat_template": "{{ raise_exception('System role not supported') }}"}},
    ],
    ids=["argument", "extra_body"],
)
async def test_a_template_that_a_client_brings_teaches_nothing(brought: dict[str, Any]) -> None:
    """Neither its own refusals, nor words of the client's that the backend repeats."""
    guard = RoleGuard(learn=False)
    request = LiteLLMRequest(ARGUMENTS)
    before = copy.deepcopy(guard._groups.deployment(request).profile)
    for words in (WORDS, "System role not supported"):
        await guard.async_post_call_failure_deployment_hook(
            {**ARGUMENTS, **brought}, refused(words), "acompletion"
        )
    assert guard._groups.deployment(request).profile == before
    assert guard.counts["failed"] == 0


async def test_a_refusal_of_an_ordinary_request_still_teaches() -> None:
    """Where no client of the guard's could retry it, the lesson is for LiteLLM's own retry."""
    guard = RoleGuard(learn=False)
    request = LiteLLMRequest(ARGUMENTS)
    before = guard._groups.deployment(request).profile
    await guard.async_post_call_failure_deployment_hook(
        ARGUMENTS, refused("System role not supported"), "acompletion"
    )
    assert guard._groups.deployment(request).profile != before


def test_template_variables_of_the_deployments_own_are_no_clients() -> None:
    """Without a proxy, nobody knows which are whose, and they count as the deployment's."""
    variables = {"chat_template_kwargs": {"enable_thinking": False}}
    assert not LiteLLMRequest({**ARGUMENTS, **variables}).brings_template
