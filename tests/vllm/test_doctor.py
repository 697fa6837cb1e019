"""`role-guard doctor` on a real vLLM."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from litellm_role_guard.cli.main import main
from testing.vllm import MODEL


def config(folder: Path, url: str, model: str = MODEL, **own: Any) -> Path:
    """Write a config with one deployment."""
    params = {"model": f"hosted_vllm/{model}", "api_base": url}
    entry = {"model_name": "chat", "litellm_params": params, "model_info": {"role_guard": own}}
    path = folder / "config.yaml"
    callbacks = {"callbacks": ["litellm_role_guard.role_guard"]}
    path.write_text(yaml.safe_dump({"model_list": [entry], "litellm_settings": callbacks}))
    return path


def checked(path: Path) -> dict[str, Any]:
    """Give what the doctor prints as JSON."""
    outcome = CliRunner().invoke(main, ["doctor", str(path), "--json"])
    found: dict[str, Any] = json.loads(outcome.output)
    assert outcome.exit_code == found["exit_code"]
    return found


def test_a_good_config_is_healthy(vllm_url: str, gemma_3: Path, tmp_path: Path) -> None:
    """Everything is asked and nothing found, with the template's file or without."""
    found = checked(config(tmp_path, f"{vllm_url}/v1"))
    (backend,) = found["backends"]
    assert found["findings"] == []
    assert backend["model"] == f"{MODEL}, 4096 tokens"
    assert backend["/tokenize"] == "yes"
    assert backend["chat"].startswith("answers")
    assert backend["tools"].startswith("no parser")
    assert backend["prefix caching"] == "on"
    assert backend["clock"] == "right"
    assert "user after user refused" in backend["profile"]
    with_file = config(tmp_path, f"{vllm_url}/v1", chat_template=str(gemma_3))
    assert [each["what"] for each in checked(with_file)["findings"]] == []


@pytest.mark.parametrize(
    ("model", "path", "what", "write"),
    [
        ("gemma-3", "/v1", "serves no 'gemma-3', but gemma3", "model: hosted_vllm/gemma3"),
        (MODEL, "", "answers under /v1 only", "api_base: URL/v1"),
    ],
)
def test_a_mistake_is_named(
    vllm_url: str, tmp_path: Path, model: str, path: str, what: str, write: str
) -> None:
    """A wrong model name, or an address without /v1, with the line to write instead."""
    (finding,) = checked(config(tmp_path, vllm_url + path, model))["findings"]
    assert what in finding["what"]
    assert finding["write"] == write.replace("URL", vllm_url)


def test_another_template_is_told(vllm_url: str, tmp_path: Path) -> None:
    """A `chat_template` that is not the one that is served, at which the guard would aim."""
    other = tmp_path / "other.jinja"
    other.write_text("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}")
    found = checked(config(tmp_path, f"{vllm_url}/v1", chat_template=str(other)))
    (finding,) = found["findings"]
    assert "is not the template that the backend renders" in finding["what"]
