"""`vllm launch render`: the part of vLLM that makes prompts of requests, without the rest."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from .processes import free_port, launch, running
from .real_templates import HOME
from .vllm import MAX_MODEL_LEN, MODEL, PYTHON, SCRIPTS, START_SECONDS

GPT_OSS = "gpt-oss"


def is_there() -> bool:
    """Tell whether the installed vLLM can be launched so."""
    assert PYTHON.exists(), "no vLLM; `make test-vllm` installs it"
    commands = HOME.glob("lib/python*/site-packages/vllm/entrypoints/cli/launch.py")
    return any('"render"' in command.read_text() for command in commands)


@contextmanager
def rendering_templates(template: Path, folder: Path) -> Iterator[str]:
    """Render with this template, or with that of a request, until the block is left."""
    model = folder / "model"
    _write(["make_tiny_model.py", model, template])
    options = [MODEL, "--max-model-len", str(MAX_MODEL_LEN), "--trust-request-chat-template"]
    with _rendering(model, options, folder, {}) as url:
        yield url


@contextmanager
def rendering_harmony(folder: Path) -> Iterator[str]:
    """Render as gpt-oss reads it, in Harmony, until the block is left."""
    litellm = find_spec("litellm")
    assert litellm is not None
    assert litellm.origin is not None
    tokenizers = Path(litellm.origin).parent / "litellm_core_utils" / "tokenizers"
    model = folder / "model"
    # o200k_base, as LiteLLM's wheel carries it.
    _write(["make_gpt_oss.py", model, tokenizers / "fb374d419588a4632f3f557e76b4b70aebbca790"])
    vocabulary = {"TIKTOKEN_ENCODINGS_BASE": str(model / "encodings")}
    with _rendering(model, [GPT_OSS], folder, vocabulary) as url:
        yield url


def _write(script: Sequence[str | Path]) -> None:
    name, *arguments = script
    subprocess.run([PYTHON, SCRIPTS / name, *arguments], check=True, capture_output=True)


@contextmanager
def _rendering(
    model: Path, options: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> Iterator[str]:
    log, port = folder / "render.log", free_port()
    command = [str(HOME / "bin" / "vllm"), "launch", "render", str(model)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--served-model-name", *options]
    quiet = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", **environment}
    process = launch(command, folder, log, quiet)
    with running(process, f"http://127.0.0.1:{port}", "/health", log, START_SECONDS) as url:
        yield url
