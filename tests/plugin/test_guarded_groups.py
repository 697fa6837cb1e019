"""Which requests are the guard's, and what each mode does with them."""

from __future__ import annotations

import copy
import logging
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import litellm
import pytest
from litellm.exceptions import BadRequestError
from litellm.proxy._types import ProxyException
from litellm.router import Router

from litellm_role_guard import RoleGuard
from litellm_role_guard.plugin.retrying_client import RetryingClient
from testing.litellm_calls import MERGED, RUN, USER, Backend, call, of_deployment


@pytest.mark.parametrize(
    "kwargs",
    [
        call(model="openai/m"),
        call(model="openai/m", custom_llm_provider="openai"),
        {key: value for key, value in call().items() if key != "messages"},
        call(chat_template="{{ messages }}"),
        call(extra_body={"chat_template": "{{ messages }}"}),
        call(model_info=of_deployment(mode="off")),
    ],
)
async def test_what_is_not_the_guards_passes_untouched(
    guard: RoleGuard, kwargs: dict[str, Any]
) -> None:
    """Other providers, a request's own template, no visible messages, mode off: nothing is done."""
    assert await guard.async_pre_call_deployment_hook(kwargs, "acompletion") is None
    assert guard.counts["failed"] == 0


@pytest.mark.parametrize("call_type", ["atext_completion", "anthropic_messages", None])
async def test_other_calls_pass_untouched(guard: RoleGuard, call_type: str | None) -> None:
    """Only chat completions and responses are repaired."""
    assert await guard.async_pre_call_deployment_hook(call(), call_type) is None


@pytest.mark.parametrize(
    ("group", "model", "guarded"),
    [
        ("gemma", "hosted_vllm/m", True),
        ("qwen-8b", "openai/m", True),
        ("other", "hosted_vllm/m", False),
    ],
)
@pytest.mark.parametrize("metadata", ["metadata", "litellm_metadata"])
async def test_named_groups_are_the_guarded_ones(
    group: str, model: str, guarded: bool, metadata: str
) -> None:
    """With `model_groups` exactly these are guarded, whatever their provider."""
    guard = RoleGuard(model_groups=["gemma", "qwen-*"], learn=False)
    kwargs = call(model=model, **{metadata: {"model_group": group}})
    changed = await guard.async_pre_call_deployment_hook(kwargs, "acompletion")
    assert (changed is not None) is guarded
    if changed is not None:
        assert changed["messages"] == MERGED


ALIASED: dict[str, Any] = {
    "model_list": [
        {
            "model_name": "gemma",
            "litellm_params": {"model": "hosted_vllm/m", "api_base": "http://b/v1"},
            "model_info": {"id": "d1"},
        }
    ],
    "model_group_alias": {"alias": "gemma"},
}


@pytest.mark.parametrize("model", ["gemma", "alias", "d1"])
async def test_a_named_group_is_guarded_under_all_its_names(backend: Backend, model: str) -> None:
    """A group's alias, or the id of one of its deployments, is no way around `model_groups`."""
    before = litellm.callbacks
    litellm.callbacks = [RoleGuard(model_groups=["gemma"], learn=False)]
    try:
        router = Router(**ALIASED, num_retries=0)
        await router.acompletion(model=model, messages=copy.deepcopy(RUN))  # type: ignore[arg-type]
    finally:
        litellm.callbacks = before
    assert [body["messages"] for body in backend.bodies] == [MERGED]


@pytest.mark.parametrize("model", ["gemma", "alias", "d1"])
async def test_bad_input_is_refused_under_all_names_of_a_group(
    monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    """The proxy's early 400 knows who could answer by alias and by deployment id, too."""
    proxy_server = SimpleNamespace(llm_router=Router(**ALIASED))
    monkeypatch.setitem(sys.modules, "litellm.proxy.proxy_server", proxy_server)
    guard = RoleGuard(model_groups=["gemma"], learn=False)
    with pytest.raises(ProxyException):
        await guard.async_pre_call_hook(None, None, {"model": model, "messages": []}, "acompletion")
    assert guard.counts["bad_input"] == 1


@pytest.mark.parametrize("messages", [None, "hello", [5], [{"content": "hello"}]])
async def test_malformed_messages_of_an_unguarded_group_are_none_of_its_business(
    monkeypatch: pytest.MonkeyPatch, messages: object
) -> None:
    """LiteLLM answers them as it always did, and the guard does not count a failure of its own."""
    proxy_server = SimpleNamespace(llm_router=Router(**ALIASED))
    monkeypatch.setitem(sys.modules, "litellm.proxy.proxy_server", proxy_server)
    guard = RoleGuard(model_groups=["another"])
    data = {"model": "gemma", "messages": messages}
    assert await guard.async_pre_call_hook(None, None, data, "anthropic_messages") is None
    assert guard.counts["failed"] == 0


async def test_observe_reports_and_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """In mode observe the request goes on as it is; header and log say what would be done."""
    guard = RoleGuard(mode="observe", learn=False)
    kwargs = call()
    with caplog.at_level(logging.INFO, "litellm_role_guard"):
        assert await guard.async_pre_call_deployment_hook(kwargs, "acompletion") is None
    header = await guard.async_post_call_response_headers_hook(kwargs, None, None)
    assert header == {"x-role-guard": "observe; merged=1"}
    assert [record.getMessage()[:17] for record in caplog.records] == ["observe; merged=1"]
    assert "still there" not in caplog.text


async def test_observe_reports_bad_input_and_lets_it_pass(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """In mode observe a request that is no conversation goes on, is counted and logged."""
    guard = RoleGuard(mode="observe", learn=False)
    kwargs = call([{"role": "wizard", "content": "still there?"}])
    with caplog.at_level(logging.INFO, "litellm_role_guard"):
        assert await guard.async_pre_call_deployment_hook(kwargs, "acompletion") is None
    assert guard.counts["bad_input"] == 1
    header = await guard.async_post_call_response_headers_hook(kwargs, None, None)
    assert header == {"x-role-guard": "observe; bad_input=1"}
    assert [record.getMessage()[:20] for record in caplog.records] == ["observe; bad_input=1"]
    assert "wizard" not in caplog.text


async def test_reject_explains_and_lets_the_rest_pass() -> None:
    """In mode reject a 400 names the messages and why; a fine conversation is not touched."""
    guard = RoleGuard(mode="reject", learn=False)
    with pytest.raises(BadRequestError, match=r"messages\[2\], messages\[3\]: merged: two"):
        await guard.async_pre_call_deployment_hook(call(), "acompletion")
    assert await guard.async_pre_call_deployment_hook(call([USER]), "acompletion") is None
    assert guard.counts["rejected"] == 1


async def test_a_deployments_own_settings_win() -> None:
    """`model_info.role_guard` overrides the global settings for that deployment alone."""
    guard = RoleGuard(mode="off", learn=False)
    own = call(model_info=of_deployment(mode="repair", separator=" | "))
    changed = await guard.async_pre_call_deployment_hook(own, "acompletion")
    assert changed is not None
    assert changed["messages"][-1]["content"] == "hi | still there?"
    assert await guard.async_pre_call_deployment_hook(call(), "acompletion") is None


async def test_a_template_that_takes_everything_needs_no_repair(tmp_path: Path) -> None:
    """With the backend's template known, what it takes whole goes on as the same objects."""
    path = tmp_path / "lenient.jinja"
    path.write_text("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}")
    guard = RoleGuard(chat_template=str(path))
    kwargs = call()
    changed = await guard.async_pre_call_deployment_hook(kwargs, "acompletion")
    assert changed is not None  # the client that would see a refusal is put in
    assert isinstance(changed["client"], RetryingClient)
    assert changed["messages"] is kwargs["messages"]
    assert await guard.async_post_call_response_headers_hook(kwargs, None, None) is None
