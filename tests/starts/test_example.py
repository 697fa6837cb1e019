"""config.example.yaml runs with one backend, and says what it misses."""

from __future__ import annotations

import os
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from litellm_role_guard.cli.main import main
from testing.processes import REPOSITORY, START_SECONDS, free_port, launch_proxy, proxy, simulator

CONFIG = REPOSITORY / "config.example.yaml"
KEY = "sk-role-guard-example"


@pytest.fixture(autouse=True)
def _without_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GEMMA3_GPU_0", "LITELLM_MASTER_KEY", "HOSTED_VLLM_API_BASE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.slow
def test_with_its_variables_it_starts_and_answers(tmp_path: Path) -> None:
    """One backend's address and a key are enough; the log says what is guarded."""
    log = tmp_path / "proxy.log"
    with simulator(tmp_path, model="gemma3") as backend:
        environment = {"GEMMA3_GPU_0": f"{backend}/v1", "LITELLM_MASTER_KEY": KEY}
        with proxy(CONFIG, log, environment) as url:
            answer = httpx.post(
                f"{url}/v1/chat/completions",
                json={"model": "gemma3", "messages": [{"role": "user", "content": "hello"}] * 2},
                headers={"Authorization": f"Bearer {KEY}"},
                timeout=60,
            )
    assert answer.status_code == 200
    assert answer.headers["x-role-guard"] == "merged=1"
    assert "mode repair; guards gemma3 (1 deployment); profiles: the backend is" in log.read_text()


@pytest.mark.slow
def test_without_them_it_stops_and_names_them(tmp_path: Path) -> None:
    """The address is named by its key and its variable, with what to export."""
    log = tmp_path / "proxy.log"
    process = launch_proxy(CONFIG, free_port(), log)
    try:
        assert process.wait(timeout=START_SECONDS) != 0
    finally:
        process.kill()
        process.wait()
    words = log.read_text()
    assert "model_list[0].litellm_params.api_base: the variable GEMMA3_GPU_0 is not set" in words
    assert "; write export GEMMA3_GPU_0=http://gpu-0:8000/v1 (config.example.yaml:" in words
    assert "general_settings.master_key: the variable LITELLM_MASTER_KEY is not set" in words


def test_the_variables_are_named_at_the_top() -> None:
    """With an example each, before anything else."""
    top = CONFIG.read_text().partition("model_list:")[0]
    assert "export GEMMA3_GPU_0=http://" in top
    assert "export LITELLM_MASTER_KEY=sk-" in top


@pytest.mark.parametrize(
    "path", ["config.example.yaml", "config.fleet.example.yaml", "deploy/config.yaml"]
)
def test_the_doctor_misses_nothing_but_variables(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every example is a good config once its variables are set."""
    for line in (REPOSITORY / path).read_text().splitlines():
        name = line.partition("os.environ/")[2].partition(" ")[0]
        if name:
            value = "6379" if "PORT" in name else "http://gpu-0:8000/v1"
            monkeypatch.setitem(os.environ, name, value)
    outcome = CliRunner().invoke(main, ["doctor", str(REPOSITORY / path), "--offline"])
    assert outcome.exit_code == 0, outcome.output
