"""Real vLLM servers on the CPU, with tiny models."""

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

from litellm_role_guard.probing.probe_builder import FIRST_MARK

from .processes import REPOSITORY, free_port, launch, running
from .real_templates import HOME

SCRIPTS = REPOSITORY / "scripts" / "vllm_cpu"
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
        """Give the prompts that were read since a mark, the oldest first, but for the guard's own.

        The guard may ask in the background at any time.
        """
        prompts = [ast.literal_eval(found) for found in _PROMPT.findall(self._since(mark))]
        return [prompt for prompt in prompts if FIRST_MARK not in prompt]

    def calls_since(self, mark: int) -> int:
        """Give how many requests reached the model's endpoints since a mark."""
        return len(_CALL.findall(self._since(mark)))

    def _since(self, mark: int) -> str:
        with self.log.open("rb") as log:
            log.seek(mark)
            return log.read().decode(errors="replace")


@contextmanager
def serving_with(template: Path, folder: Path, *options: str) -> Iterator[str]:
    """Run a vLLM with this model's template and further options until the block is left."""
    given = os.environ.get("ROLE_GUARD_RELAXED_VLLM_URL")
    if given:
        yield given.rstrip("/")
        return
    with serving(gemma(template, *options), folder) as (url, _):
        yield url


class Model(NamedTuple):
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


def gemma(template: Path, *options: str, **environment: str) -> Model:
    """Give the tiny model with a template, options and environment variables of its server."""
    script = ("make_tiny_model.py", str(template))
    return Model(MODEL, script, ("--trust-request-chat-template", *options), environment)


@contextmanager
def serving(model: Model, folder: Path) -> Iterator[tuple[str, Path]]:
    """Run a vLLM until the block is left; give its address and its log."""
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
