"""Real vLLM servers on the CPU, one a session: the real Gemma 3 template, and Mistral's rules."""

from __future__ import annotations

import ast
import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest

from demo.processes import free_port, launch, running
from tests.real_templates import GEMMA_3, HOME

SCRIPTS = Path(__file__).parents[2] / "scripts" / "vllm_cpu"
PYTHON = HOME / "bin" / "python"
MODEL = "gemma3"
MISTRAL = "mistral"
MAX_MODEL_LEN = 4096
# Of the tiny model, whose tokenizer has those of Gemma.
SPECIAL_TOKENS = {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>"}
START_SECONDS = 600

_PROMPT = re.compile(r"details: prompt: ('.*?'|\".*?\"), prompt_token_ids: ")
_CALL = re.compile(r'"POST /v1/(?:chat/completions|responses) HTTP')


@dataclass(frozen=True)
class LoggedVllm:
    """A running vLLM that writes each prompt that it reads to its log.

    Attributes:
        url: Its address.
        log: Its log.
    """

    url: str
    log: Path

    def mark(self) -> int:
        """Give the place in the log where it ends now."""
        return self.log.stat().st_size

    def prompts_since(self, mark: int) -> list[str]:
        """Give the prompts that were read since a mark, the oldest first."""
        return [ast.literal_eval(found) for found in _PROMPT.findall(self._since(mark))]

    def calls_since(self, mark: int) -> int:
        """Give how many requests reached the model's endpoints since a mark."""
        return len(_CALL.findall(self._since(mark)))

    def _since(self, mark: int) -> str:
        with self.log.open("rb") as log:
            log.seek(mark)
            return log.read().decode(errors="replace")


@pytest.fixture(scope="session")
def gemma_3() -> Path:
    """The real template of Gemma 3."""
    assert GEMMA_3 is not None, "no templates; `make test-vllm` fetches them"
    return GEMMA_3


@pytest.fixture(scope="session")
def vllm_url(gemma_3: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real vLLM: the one in ROLE_GUARD_VLLM_URL, or one started here."""
    given = os.environ.get("ROLE_GUARD_VLLM_URL")
    if given:
        yield given.rstrip("/")
        return
    with _serving(_gemma(gemma_3), tmp_path_factory.mktemp("vllm")) as (url, _):
        yield url


@pytest.fixture(scope="module")
def vllm_pair(
    vllm_url: str, gemma_3: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """The addresses of two of them, the second at ROLE_GUARD_SECOND_VLLM_URL or started here."""
    given = os.environ.get("ROLE_GUARD_SECOND_VLLM_URL")
    if given:
        yield vllm_url, given.rstrip("/")
        return
    with _serving(_gemma(gemma_3), tmp_path_factory.mktemp("second")) as (url, _):
        yield vllm_url, url


@pytest.fixture(scope="session")
def logged_vllm(gemma_3: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoggedVllm]:
    """A vLLM that logs its prompts: that of ROLE_GUARD_LOGGED_VLLM ("URL LOG"), or a new one."""
    given = os.environ.get("ROLE_GUARD_LOGGED_VLLM")
    if given:
        url, log = given.split(maxsplit=1)
        yield LoggedVllm(url.rstrip("/"), Path(log))
        return
    # At this level vLLM reads a request's parts for the log before it validates them, and takes
    # malformed ones. What is compared with the simulator needs a server without it.
    loud = _gemma(gemma_3, "--enable-log-requests", VLLM_LOGGING_LEVEL="DEBUG")
    with _serving(loud, tmp_path_factory.mktemp("logged")) as (url, path):
        yield LoggedVllm(url, path)


@pytest.fixture(scope="session")
def mistral_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a vLLM in Mistral mode: ROLE_GUARD_MISTRAL_VLLM_URL, or one started here."""
    given = os.environ.get("ROLE_GUARD_MISTRAL_VLLM_URL")
    if given:
        yield given.rstrip("/")
        return
    options = ("--tokenizer-mode", "mistral")
    model = _Model(MISTRAL, ("make_tiny_mistral.py",), options, {})
    with _serving(model, tmp_path_factory.mktemp("mistral")) as (url, _):
        yield url


@contextmanager
def serving_with(template: Path, folder: Path, *options: str) -> Iterator[str]:
    """Run a vLLM with this model's template and further options until the block is left."""
    given = os.environ.get("ROLE_GUARD_RELAXED_VLLM_URL")
    if given:
        yield given.rstrip("/")
        return
    with _serving(_gemma(template, *options), folder) as (url, _):
        yield url


class _Model(NamedTuple):
    """A tiny model and how it is served.

    Attributes:
        name: What it is served as.
        script: The script of scripts/vllm_cpu that writes it, and what the script wants to know.
        options: What `vllm serve` is told beside the usual.
        environment: Variables for the server, beside the usual.
    """

    name: str
    script: Sequence[str]
    options: Sequence[str]
    environment: Mapping[str, str]


def _gemma(template: Path, *options: str, **environment: str) -> _Model:
    script = ("make_tiny_model.py", str(template))
    return _Model(MODEL, script, ("--trust-request-chat-template", *options), environment)


@contextmanager
def _serving(model: _Model, folder: Path) -> Iterator[tuple[str, Path]]:
    weights, log, port = folder / "model", folder / "vllm.log", free_port()
    script, *arguments = model.script
    subprocess.run([PYTHON, SCRIPTS / script, weights, *arguments], check=True, capture_output=True)
    command = [str(HOME / "bin" / "vllm"), "serve", str(weights), "--served-model-name", model.name]
    command += ["--host", "127.0.0.1", "--port", str(port), "--dtype", "bfloat16"]
    command += ["--max-model-len", str(MAX_MODEL_LEN), "--enforce-eager", *model.options]
    environment = {
        "HF_HUB_OFFLINE": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        **model.environment,
    }
    process = launch(command, folder, log, environment)
    with running(process, f"http://127.0.0.1:{port}", "/health", log, START_SECONDS) as url:
        yield url, log
