"""`role-guard simulate`."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from litellm_role_guard.cli.main import main
from testing.processes import REPOSITORY

CHAT = "/chat/completions"


@contextmanager
def simulate(*options: str) -> Iterator[tuple[str, str]]:
    """Run `role-guard simulate`; give the line that it prints, and the API's address in it."""
    command = "from litellm_role_guard.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", command, "simulate", "--port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline().strip()
        yield line, line.rpartition(" ")[2]
    finally:
        process.send_signal(signal.SIGTERM)
        left = process.stdout.read()
        process.wait(timeout=20)
        process.stdout.close()
    assert left == ""


def test_simulate_without_a_template_is_strict() -> None:
    """The template that ships with the package wants user and assistant to take turns."""
    with simulate() as (line, url):
        assert line.startswith("simulated at http://127.0.0.1:")
        one = {"role": "user", "content": "hello"}
        taken = httpx.post(url + CHAT, json={"messages": [one]})
        refused = httpx.post(url + CHAT, json={"messages": [one, one]})
    assert (taken.status_code, refused.status_code) == (200, 400)
    words = "Conversation roles must alternate user/assistant/user/assistant/..."
    assert refused.json()["error"]["message"] == words


def test_simulate_renders_the_given_template(tmp_path: Path) -> None:
    """The options name the template, the model and its context length."""
    template = tmp_path / "echo.jinja"
    template.write_text("<{{ messages[-1].content }}>")
    options = ("--chat-template", str(template), "--model", "echo", "--max-model-len", "64")
    with simulate(*options) as (_, url):
        (card,) = httpx.get(url + "/models").json()["data"]
        body = {"messages": [{"role": "user", "content": "hey"}], "return_prompt_text": True}
        reply = httpx.post(url + CHAT, json=body)
    assert (card["id"], card["max_model_len"]) == ("echo", 64)
    assert reply.json()["prompt_text"] == "<hey>"


def test_a_missing_template_is_one_line(tmp_path: Path) -> None:
    """A template that is not there is named in one line, with exit code 2."""
    path = tmp_path / "missing.jinja"
    outcome = CliRunner().invoke(main, ["simulate", "--chat-template", str(path)])
    assert outcome.exit_code == 2
    assert outcome.output == f"Error: chat template {path}: No such file or directory\n"


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("broken.jinja", "{% if %}", "line 1: "),
        ("tokenizer_config.json", '{"bos_token": "<s>"}', "no chat_template in it"),
        ("tokenizer_config.json", "{", "not JSON: "),
    ],
)
def test_a_broken_template_is_one_line(tmp_path: Path, name: str, text: str, words: str) -> None:
    """A file without a template that compiles is named with the reason, with exit code 2."""
    path = tmp_path / name
    path.write_text(text)
    outcome = CliRunner().invoke(main, ["simulate", "--chat-template", str(path)])
    assert outcome.exit_code == 2
    assert outcome.output.startswith(f"Error: chat template {path}: {words}")
    assert outcome.output.count("\n") == 1


def test_a_taken_port_is_one_line() -> None:
    """A port that another process listens on is named in one line, with exit code 2."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        outcome = CliRunner().invoke(main, ["simulate", "--port", str(port)])
    assert outcome.exit_code == 2
    words = f"Error: cannot listen on 127.0.0.1:{port}: Address already in use"
    assert outcome.output.startswith(words)
    assert outcome.output.count("\n") == 1


def test_without_the_proxy_extra_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where FastAPI is not installed, the line tells how to install it; exit code 2."""
    for name in [name for name in sys.modules if name.startswith("litellm_role_guard.simulator")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    outcome = CliRunner().invoke(main, ["simulate"])
    assert outcome.exit_code == 2
    words = "Error: simulate needs fastapi: pip install 'litellm-role-guard[proxy]', in a checkout"
    assert outcome.output == f"{words} '.[proxy]'\n"
