"""What the guard says when the proxy starts, and when its list of models changes."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from litellm_role_guard.config.proxy_config import ProxyConfig
from litellm_role_guard.config.settings import GuardSettings, SettingsError
from litellm_role_guard.diagnosis.config_faults import config_faults
from litellm_role_guard.plugin import start
from litellm_role_guard.plugin.start import StartReport, check_at_start, read_proxy_config
from testing.setups import EVERY, good_config, with_mistake

ADDRESS = "http://127.0.0.1:1/v1"
PROXY = "litellm.proxy.proxy_server"


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Give the lines of the log so far, and forget them."""
    lines = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return lines


def report(entries: list[dict[str, Any]], **settings: Any) -> StartReport:
    """Give the report of a proxy with these deployments, of which none is asked anything."""
    config = ProxyConfig.of_data({"model_list": entries})
    return StartReport(GuardSettings(learn=False, **settings), config)


def entry(group: str, model: str = "hosted_vllm/m", **own: Any) -> dict[str, Any]:
    """Give an entry of a model list."""
    params = {"model": model, "api_base": ADDRESS}
    return {"model_name": group, "litellm_params": params, "model_info": {"role_guard": own}}


@pytest.mark.parametrize(
    ("entries", "settings", "line"),
    [
        (
            [entry("a"), entry("a"), entry("b", "openai/gpt")],
            {},
            ": mode repair; guards a (2 deployments); does not guard b (openai/gpt, not "
            "hosted_vllm); profiles: none, a strict template is assumed",
        ),
        (
            [entry("a", learn=True), entry("b", mode="off"), entry("c")],
            {"model_groups": ["a", "b"], "mode": "observe"},
            ": mode observe; guards a (1 deployment, observe); does not guard b (mode off), c (not "
            "named in model_groups); profiles: the backend is asked",
        ),
        ([entry("a", "azure/m")], {}, "; guards nothing; does not guard a (azure/m, not hosted_v"),
    ],
)
def test_one_line_says_what_is_guarded_and_why_the_rest_is_not(
    entries: list[dict[str, Any]],
    settings: dict[str, Any],
    line: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Version, mode, groups with their deployments counted, reasons, where profiles come from."""
    with caplog.at_level(logging.INFO, "litellm_role_guard"):
        report(entries, **settings).say()
    (told,) = said(caplog)
    assert told.startswith("role guard 0.")
    assert line in told


def test_a_litellm_that_is_not_to_be_used_is_named_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the line that installs another; the proxy starts."""
    monkeypatch.setattr(start, "installed", lambda package: "1.0.0")
    check_at_start(ProxyConfig.of_data({}))
    (line,) = said(caplog)
    assert line.startswith("LiteLLM 1.0.0 is too old for the guard, which wants litellm")
    assert "; write pip install 'litellm" in line


def test_a_line_has_an_end_whatever_the_number_of_groups(caplog: pytest.LogCaptureFixture) -> None:
    """Twenty groups are named, and the rest counted."""
    with caplog.at_level(logging.INFO, "litellm_role_guard"):
        report([entry(f"g{at}") for at in range(1000)]).say()
    (told,) = said(caplog)
    assert "g19 (1 deployment) and 980 more;" in told
    assert len(told) < 1000


async def test_a_change_of_the_model_list_is_said_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what is wrong with the new deployments, which can no longer stop a start."""
    router = SimpleNamespace(model_list=[entry("a")])
    monkeypatch.setitem(sys.modules, PROXY, SimpleNamespace(llm_router=router))
    monkeypatch.setattr(start, "INTERVAL_SECONDS", 0.001)
    monkeypatch.delenv("HOSTED_VLLM_API_BASE", raising=False)
    watched = report([entry("a")])
    with caplog.at_level(logging.INFO, "litellm_role_guard"):
        watched.say()
        assert len(said(caplog)) == 1
        await asyncio.sleep(0.05)
        assert said(caplog) == []
        without_address = entry("b")
        without_address["litellm_params"]["api_base"] = None
        router.model_list.append(without_address)
        while not caplog.records:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.02)
    line, fault = said(caplog)
    assert "guards a (1 deployment), b (1 deployment)" in line
    assert fault.startswith("model_list[1].litellm_params.api_base: empty, and HOSTED_VLLM_API")
    watched.stop()


@pytest.mark.parametrize("name", [name for name in EVERY if not EVERY[name].is_asked])
def test_each_mistake_is_logged_in_one_line_with_the_line_to_write(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With its key path, its place in the file, and a stop where the proxy could not work."""
    mistake = EVERY[name]
    broken = with_mistake(good_config(ADDRESS, "m"), mistake)
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(broken, sort_keys=False))
    config = ProxyConfig.read(path, {})
    try:
        check_at_start(config)
    except SettingsError as error:
        lines = [*said(caplog), *str(error).splitlines()]
        assert mistake.severity == "fatal"
    else:
        lines = said(caplog)
        assert mistake.severity != "fatal"
    if name == "no line at all":
        assert lines == []  # the guard itself is never asked then; the doctor says it
        return
    (line,) = lines
    assert line.startswith(f"{mistake.where}: ")
    assert mistake.what in line
    assert f"; write {mistake.write}" in line or not mistake.write
    assert "config.yaml:" in line


def test_a_good_config_is_silent(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """No word about what is right."""
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(good_config(ADDRESS, "m")))
    check_at_start(ProxyConfig.read(path, {}))
    assert said(caplog) == []


def test_without_the_file_the_proxys_own_state_is_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A config from a bucket or a database: the values are known, and no lines."""
    state = {"model_list": [entry("a")], "role_gaurd": {"mode": "off"}}
    server = SimpleNamespace(
        proxy_config=SimpleNamespace(get_config_state=lambda: state), user_config_file_path="/gone"
    )
    monkeypatch.setitem(sys.modules, PROXY, server)
    (finding,) = config_faults(read_proxy_config())
    assert finding.write == "callback_settings: {role_guard: {mode: 'off'}} at the top level"


def test_a_litellm_that_shows_no_config_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The guard starts all the same, with what the callback settings say."""
    monkeypatch.setitem(sys.modules, PROXY, SimpleNamespace())
    monkeypatch.setattr("litellm.callback_settings", {"role_guard": {"mode": "observe"}})
    config = read_proxy_config()
    assert config.mapping("callback_settings", "role_guard") == {"mode": "observe"}
    assert said(caplog) == ["the config cannot be checked at start: LiteLLM does not show it"]
