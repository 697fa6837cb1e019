"""The proxy refuses to start on settings that cannot be used, and says which."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from testing.processes import START_SECONDS, free_port, launch_proxy
from testing.proxies import write_config

BROKEN = {
    "unknown key": (
        {"mdoe": "repair"},
        {},
        "callback_settings.role_guard.mdoe: unknown setting; did you mean 'mode'?",
    ),
    "wrong value": (
        {"mode": "fix"},
        {},
        "callback_settings.role_guard.mode: must be 'repair', 'observe', 'reject' or 'off'",
    ),
    "wrong type": (
        {"model_groups": "all"},
        {},
        "callback_settings.role_guard.model_groups: must be a list, not 'all'",
    ),
    "empty template": (
        {"chat_template": ""},
        {},
        "callback_settings.role_guard.chat_template: must be the path of a file or a directory",
    ),
    "missing template": (
        {"chat_template": "/no/such.jinja"},
        {},
        "callback_settings.role_guard.chat_template: /no/such.jinja:",
    ),
    "verify without a template": (
        {"verify": True},
        {},
        "callback_settings.role_guard.verify: needs a chat_template to render with",
    ),
    "deployment's key": (
        {},
        {"seperator": "-"},
        "model_list[1].model_info.role_guard.seperator: unknown setting; did you mean 'separator'?",
    ),
    "deployment's template": (
        {},
        {"chat_template": "broken.jinja"},
        "model_list[1].model_info.role_guard.chat_template: broken.jinja:",
    ),
}

Started = dict[str, tuple[subprocess.Popen[bytes], Path]]


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """Start a proxy on each broken config, all at once: each takes seconds to get there."""
    started: Started = {}
    for name, (settings, own, _) in BROKEN.items():
        folder = tmp_path_factory.mktemp("refused")
        (folder / "broken.jinja").write_text("{% for %}")
        params = {"model": "hosted_vllm/m", "api_base": "http://127.0.0.1:1/v1"}
        entry: dict[str, Any] = {"model_name": "m", "litellm_params": params}
        config = {
            "model_list": [entry, {**entry, "model_info": {"role_guard": own}}],
            "litellm_settings": {"callbacks": ["litellm_role_guard.role_guard"]},
            "callback_settings": {"role_guard": settings},
        }
        log = folder / "proxy.log"
        started[name] = (launch_proxy(write_config(config, folder), free_port(), log), log)
    yield started
    for process, _ in started.values():
        process.kill()
        process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("name", BROKEN)
def test_broken_settings_stop_the_start(refused: Started, name: str) -> None:
    """The proxy exits with an error, and the last words of its log name the setting."""
    process, log = refused[name]
    assert process.wait(timeout=START_SECONDS) != 0
    assert BROKEN[name][2] in log.read_text()[-600:]
