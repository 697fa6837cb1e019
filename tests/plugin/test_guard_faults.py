"""Bad input, bad settings and the guard's own failures."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import litellm
import pytest
from litellm.exceptions import BadRequestError

from litellm_role_guard import RoleGuard
from litellm_role_guard.config.settings import SettingsError
from litellm_role_guard.observability.log import logger
from testing.litellm_calls import RUN, USER, Backend, ask, call, of_deployment


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([], r"messages: empty"),
        ([USER, {"content": "x"}], r"messages\[1\]: has no role"),
        ([{"role": "wizard", "content": "x"}], r"messages\[0\]: unknown role 'wizard'"),
        ([{"role": "user", "content": ""}], r"messages\[0\]: no message has any text"),
    ],
)
async def test_bad_input_is_a_bad_request_that_names_the_message(
    backend: Backend, guard: RoleGuard, messages: Any, words: str
) -> None:
    """What is no conversation is refused before it is sent, with the index and the fault."""
    with pytest.raises(BadRequestError, match=words):
        await ask(messages)
    assert backend.bodies == []
    assert guard.counts["bad_input"] == 1


async def test_a_guard_that_fails_lets_the_request_go_on(
    backend: Backend,
    guard: RoleGuard,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An error inside the guard is counted and logged with a traceback that holds no message
    text, not even where the error quotes it; the call goes on as it is."""

    def broken(*args: Any, **kwargs: Any) -> Any:
        raise KeyError(RUN[-1]["content"])

    monkeypatch.setattr("litellm_role_guard.plugin.guarded_call.repair", broken)
    kwargs = call()
    assert await guard.async_pre_call_deployment_hook(kwargs, "acompletion") is None
    assert guard.counts["failed"] == 1
    assert [record.exc_info for record in caplog.records] == [None]
    assert "in broken" in caplog.text
    assert "KeyError" in caplog.text
    assert "still there" not in caplog.text


async def test_a_deployments_bad_settings_do_not_stop_its_requests(
    guard: RoleGuard, caplog: pytest.LogCaptureFixture
) -> None:
    """A deployment added later with a wrong setting is served unguarded, and the log names it."""
    kwargs = call(model_info=of_deployment(mdoe="repair"))
    assert await guard.async_pre_call_deployment_hook(kwargs, "acompletion") is None
    assert "model_info.role_guard.mdoe" in caplog.text
    assert guard.counts["failed"] == 1


async def test_the_last_deployments_report_is_the_one_given(guard: RoleGuard) -> None:
    """After a fallback to a deployment that is not guarded no header is left over."""
    kwargs = call()
    await guard.async_pre_call_deployment_hook(kwargs, "acompletion")
    assert await guard.async_post_call_response_headers_hook(kwargs, None, None) == {
        "x-role-guard": "merged=1"
    }
    other = {**kwargs, "model": "openai/m"}
    await guard.async_pre_call_deployment_hook(other, "acompletion")
    assert await guard.async_post_call_response_headers_hook(kwargs, None, None) is None


async def test_reports_go_with_their_request(guard: RoleGuard) -> None:
    """Nothing is kept of a request once LiteLLM has dropped it."""
    await guard.async_pre_call_deployment_hook(call(), "acompletion")
    assert len(guard._reports._by_logging_object) == 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"mdoe": "repair"}, "RoleGuard.mdoe: unknown setting; did you mean 'mode'?"),
        ({"chat_template": "/no/such/file"}, "RoleGuard.chat_template: /no/such/file: "),
    ],
)
def test_python_settings_are_checked_like_the_configs(settings: dict[str, Any], words: str) -> None:
    """Wrong keyword arguments are refused by name when the guard is made."""
    with pytest.raises(SettingsError) as refused:
        RoleGuard(**settings)
    assert words in str(refused.value)


def test_a_template_that_does_not_compile_is_named(tmp_path: Path) -> None:
    """The guard is not made with a template that Jinja cannot compile."""
    path = tmp_path / "broken.jinja"
    path.write_text("{% for %}")
    with pytest.raises(SettingsError, match=r"broken\.jinja"):
        RoleGuard(chat_template=str(path))


def test_the_configured_guard_reads_callback_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """`callback_settings.role_guard` are the settings, and a mistake is named by that path."""
    monkeypatch.setattr(litellm, "callback_settings", {"role_guard": {"mode": "observe"}})
    assert RoleGuard.from_config().settings.mode == "observe"
    monkeypatch.setattr(litellm, "callback_settings", {"role_guard": {"mode": "look"}})
    with pytest.raises(SettingsError, match=r"callback_settings\.role_guard\.mode: must be"):
        RoleGuard.from_config()


@pytest.mark.parametrize("written", ["x", ["role_guard"], 3])
def test_callback_settings_that_are_no_mapping_are_named(
    monkeypatch: pytest.MonkeyPatch, written: object
) -> None:
    """`callback_settings` itself of the wrong type is named by its path."""
    monkeypatch.setattr(litellm, "callback_settings", written)
    with pytest.raises(SettingsError, match=r"callback_settings: must be a mapping, not"):
        RoleGuard.from_config()


@pytest.mark.parametrize("inside", [True, False])
def test_the_log_is_shown_inside_the_proxy_only(
    monkeypatch: pytest.MonkeyPatch, inside: bool
) -> None:
    """An application that uses the SDK sets up its logging by itself."""
    shown: list[int] = []
    monkeypatch.setattr(
        "litellm_role_guard.plugin.guard.show", lambda level, _: shown.append(level)
    )
    monkeypatch.setenv("LITELLM_LOG", "warning")
    monkeypatch.delitem(sys.modules, "litellm.proxy.proxy_server", raising=False)
    if inside:
        config = SimpleNamespace(get_config_state=dict)
        monkeypatch.setitem(
            sys.modules, "litellm.proxy.proxy_server", SimpleNamespace(proxy_config=config)
        )
    RoleGuard.from_config()
    assert shown == [logging.WARNING] * inside


def test_a_level_in_the_settings_comes_before_all_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """`log_level` holds whatever the variable and the application say."""
    before = logger.level
    try:
        RoleGuard(log_level="ERROR")
        assert logger.level == logging.ERROR
    finally:
        logger.setLevel(before)
