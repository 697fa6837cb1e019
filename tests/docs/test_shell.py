"""The shell blocks of README and docs, run as they stand.

Only addresses and the places of models differ, since there is no `gpu-0` here. The mark before a
block says what it is run with: alone, a simulated vLLM, or the README's own proxy, which all such
blocks share.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from litellm_role_guard import ChatTemplate
from litellm_role_guard.simulator import create_app
from testing.documents import Block, blocks
from testing.processes import REPOSITORY, free_port, launch, running
from testing.serving import serving
from testing.templates import STRICT

README = REPOSITORY / "README.md"
KEY = "sk-" + "0123456789abcdef" * 2
PROXY, LOCAL_VLLM, VLLM = "http://localhost:4000", "http://localhost:8000", "http://gpu-0:8000"
SERVE = "litellm --config config.yaml"
"""How a block starts a proxy, which runs until it is stopped."""

SHELL = [block for block in blocks() if block.language == "sh" and block.run is not None]
QUICK = "relax --hf-cache"
"""What the block says that `make test` runs, too. All of them take half a minute."""

# `check` ends with 1 where a conversation would be refused, as those of the docs are.
PREAMBLE = """
set -euo pipefail
role-guard() {
  local code=0
  command role-guard "$@" || code=$?
  [ "$1" = check ] && [ "$code" = 1 ] && return 0
  return "$code"
}
"""

TWO_QUESTIONS = (
    '[{"role": "user", "content": "are you there?"}, {"role": "user", "content": "hello again"}]'
)
FILES = {
    "chat.json": TWO_QUESTIONS,
    "chats.jsonl": f"{TWO_QUESTIONS}\n{TWO_QUESTIONS}\n",
    "fine.jsonl": '[{"role": "user", "content": "hello"}]\n',
    "prompts.jsonl": '"What is war?"\n"What is peace?"\n',
    "questions.csv": "question\nWhat is war?\n",
    "gemma3.jinja": STRICT.read_text(),
    "relaxed.jinja": "{{ messages }}",
}


@dataclass(frozen=True)
class World:
    """What the blocks talk to.

    Attributes:
        vllm: The address of a simulated vLLM that shows its template.
        proxy: The address of the README's proxy; None where none is needed.
        log: The proxy's log.
    """

    vllm: str
    proxy: str | None = None
    log: Path | None = None


@pytest.fixture(scope="module")
def vllm() -> Iterator[str]:
    """Give the address of a simulated vLLM that serves `gemma3`."""
    template = ChatTemplate.from_path(STRICT)
    app = create_app(template, model="gemma3")
    app.add_api_route("/tokenizer_info", lambda: {"chat_template": template.text})
    with serving(app) as url:
        yield url


@pytest.fixture(scope="module")
def readmes_proxy(vllm: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Start the README's config with the README's command."""
    folder = tmp_path_factory.mktemp("proxy")
    config = next(
        block for block in blocks() if block.page == README and block.text.startswith("model_list")
    )
    (folder / "config.yaml").write_text(config.text.replace(LOCAL_VLLM, vllm))
    start = next(block for block in SHELL if block.page == README and SERVE in block.text)
    serve = next(line for line in start.text.splitlines() if line.startswith(SERVE))
    main = "from litellm import run_server; run_server()"
    port = free_port()
    command = [sys.executable, "-c", main, *serve.split()[1:], "--port", str(port)]
    log = folder / "proxy.log"
    environment = {"LITELLM_MASTER_KEY": KEY, "XDG_CACHE_HOME": str(folder / "cache")}
    process = launch(command, folder, log, environment)
    with running(process, f"http://127.0.0.1:{port}", "/health/liveliness", log) as url:
        yield World(vllm, url, log)


def run(block: Block, world: World, folder: Path) -> str:
    """Run a block in a folder of its own; give what it printed.

    Raises:
        AssertionError: A command of it failed.
    """
    for program in ("curl", "openssl"):
        if program in block.text and shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    config = next(
        each for each in blocks() if each.page == README and each.text.startswith("model_list")
    )
    (folder / "config.yaml").write_text(config.text.replace(LOCAL_VLLM, world.vllm))
    _write_models(folder)
    commands = block.text.replace("/models/gemma-3", str(folder / "models"))
    commands = "\n".join(line for line in commands.splitlines() if not line.startswith(SERVE))
    for written, there in (
        (PROXY, world.proxy),
        (LOCAL_VLLM, world.vllm),
        (VLLM, world.vllm),
        ("sk-...", KEY),
    ):
        commands = commands.replace(written, there or written)
    done = subprocess.run(
        ["bash", "-c", PREAMBLE + commands],
        cwd=folder,
        env=_environment(world, folder),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def _environment(world: World, folder: Path) -> dict[str, str]:
    command = folder / "bin" / "role-guard"
    command.parent.mkdir()
    main = "from litellm_role_guard.cli import main; main()"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{main}" "$@"\n')
    command.chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
        "HF_HUB_CACHE": str(folder / "hub"),
        "LITELLM_MASTER_KEY": KEY,
        "ROLE_GUARD_API_KEY": KEY,
        **({"ROLE_GUARD_PROXY": world.proxy} if world.proxy else {}),
    }


def _write_models(folder: Path) -> None:
    for files in (
        folder / "models",
        folder / "hub" / "models--google--gemma-3-12b-it" / "snapshots" / "a1",
    ):
        files.mkdir(parents=True)
        (files / "chat_template.jinja").write_text(STRICT.read_text())
    gguf = pytest.importorskip("gguf")
    writer = gguf.GGUFWriter(folder / "model-q4_0.gguf", "gemma3")
    writer.add_chat_template(STRICT.read_text())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    subprocess.run(
        ["gzip", "-kc", folder / "prompts.jsonl"],
        stdout=(folder / "logs.gz").open("wb"),
        check=True,
    )


def alone() -> list[object]:
    """Give the blocks that need no proxy, those that take long marked."""
    return [
        pytest.param(block, id=block.name, marks=[] if QUICK in block.text else [pytest.mark.slow])
        for block in SHELL
        if block.run != "a proxy"
    ]


@pytest.mark.parametrize("block", alone())
def test_a_block_runs_as_it_stands(block: Block, vllm: str, tmp_path: Path) -> None:
    """Every command of it ends well."""
    assert run(block, World(vllm), tmp_path) is not None


@pytest.mark.slow
@pytest.mark.parametrize(
    "block", [block for block in SHELL if block.run == "a proxy"], ids=lambda block: block.name
)
def test_a_block_runs_beside_the_readmes_proxy(
    block: Block, readmes_proxy: World, tmp_path: Path
) -> None:
    """Every command of it ends well, and what the page shows of its output is what came."""
    printed = run(block, readmes_proxy, tmp_path)
    if "x-role-guard" in block.text or (block.page == README and "curl" in block.text):
        assert "x-role-guard: merged=1" in printed
    if block.page == README and "curl" in block.text:
        (shown,) = re.findall(r'^\.\.\.(".*")\.\.\.$', README.read_text(), re.MULTILINE)
        assert shown in printed


@pytest.mark.slow
def test_the_readmes_proxy_starts_with_the_line_that_the_readme_shows(
    readmes_proxy: World,
) -> None:
    """Word by word, behind the time."""
    (line,) = re.findall(r"^INFO litellm_role_guard: .*$", README.read_text(), re.MULTILINE)
    assert readmes_proxy.log is not None
    assert line in readmes_proxy.log.read_text()
