"""Real vLLM servers on the CPU, one a session, with the real Gemma 3 template."""

from __future__ import annotations

import ast
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo.processes import free_port, launch, running
from tests.real_templates import GEMMA_3, HOME

MAKE_TINY_MODEL = Path(__file__).parents[2] / "scripts" / "vllm_cpu" / "make_tiny_model.py"
MODEL = "gemma3"
MAX_MODEL_LEN = 4096
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
    with _serving(gemma_3, tmp_path_factory.mktemp("vllm"), logs_prompts=False) as (url, _):
        yield url


@pytest.fixture(scope="session")
def logged_vllm(gemma_3: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoggedVllm]:
    """A vLLM that logs its prompts: that of ROLE_GUARD_LOGGED_VLLM ("URL LOG"), or a new one."""
    given = os.environ.get("ROLE_GUARD_LOGGED_VLLM")
    if given:
        url, log = given.split(maxsplit=1)
        yield LoggedVllm(url.rstrip("/"), Path(log))
        return
    with _serving(gemma_3, tmp_path_factory.mktemp("logged"), logs_prompts=True) as (url, path):
        yield LoggedVllm(url, path)


@contextmanager
def _serving(template: Path, folder: Path, *, logs_prompts: bool) -> Iterator[tuple[str, Path]]:
    model, log, port = folder / "model", folder / "vllm.log", free_port()
    subprocess.run(
        [HOME / "bin" / "python", MAKE_TINY_MODEL, model, template], check=True, capture_output=True
    )
    command = [str(HOME / "bin" / "vllm"), "serve", str(model), "--served-model-name", MODEL]
    command += ["--host", "127.0.0.1", "--port", str(port), "--dtype", "bfloat16"]
    command += ["--max-model-len", str(MAX_MODEL_LEN), "--enforce-eager"]
    command += ["--trust-request-chat-template"]
    environment = {
        "HF_HUB_OFFLINE": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_NO_USAGE_STATS": "1",
    }
    if logs_prompts:
        # At this level vLLM reads a request's parts for the log before it validates them, and
        # takes malformed ones. What is compared with the simulator needs a server without it.
        command += ["--enable-log-requests"]
        environment["VLLM_LOGGING_LEVEL"] = "DEBUG"
    process = launch(command, folder, log, environment)
    with running(process, f"http://127.0.0.1:{port}", "/health", log, START_SECONDS) as url:
        yield url, log
