"""The command line: `role-guard ...`."""

from __future__ import annotations

import asyncio
import time
from importlib.resources import as_file, files
from pathlib import Path

import click

from .proofs import Learnt, Witness
from .template import ChatTemplate, TemplateInvalid


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Chat histories that a vLLM backend takes and reads."""


@main.command()
@click.option(
    "--chat-template",
    type=click.Path(path_type=Path),
    help="The template to render: a .jinja file, a tokenizer_config.json or a model directory."
    "  [default: a strict one that ships with the package]",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="The port to listen on; 0 for a free one.",
)
@click.option(
    "--model", default="simulated", show_default=True, help="The name of the served model."
)
@click.option(
    "--max-model-len",
    type=click.IntRange(min=1),
    default=32768,
    show_default=True,
    help="The context length, in tokens.",
)
@click.option(
    "--trust-request-chat-template",
    is_flag=True,
    help="Let a request bring its own chat template.",
)
@click.option(
    "--enable-auto-tool-choice",
    is_flag=True,
    help='Take tools without `tool_choice: "none"`. They are rendered, never called.',
)
@click.option(
    "--latency",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="Seconds to the first token.",
)
@click.option(
    "--tokens-per-second",
    type=click.FloatRange(min=0, min_open=True),
    help="Speed of an answer.  [default: all at once]",
)
def simulate(
    chat_template: Path | None,
    host: str,
    port: int,
    model: str,
    max_model_len: int,
    trust_request_chat_template: bool,
    enable_auto_tool_choice: bool,
    latency: float,
    tokens_per_second: float | None,
) -> None:
    """Serve a vLLM look-alike over a real chat template.

    It refuses what a vLLM with this template refuses, in the same words, and answers the rest by
    telling what the model would have read. POST /control makes it fail, GET /control/requests
    shows what it received.

    \b
      role-guard simulate --chat-template gemma3.jinja --port 8001
      curl localhost:8001/control -H 'content-type: application/json' -d '{"fault": "hang"}'
    """
    template = _load(chat_template)
    try:
        from .simulator import create_app, serve
    except ImportError as error:  # FastAPI and uvicorn come with the proxy
        needed = "pip install 'litellm-role-guard[proxy]'"
        raise _BadStart(f"simulate needs {error.name}: {needed}") from error
    app = create_app(
        template,
        model=model,
        max_model_len=max_model_len,
        trust_request_chat_template=trust_request_chat_template,
        enable_auto_tool_choice=enable_auto_tool_choice,
        latency=latency,
        tokens_per_second=tokens_per_second,
    )
    try:
        serve(app, host=host, port=port, on_ready=lambda url: click.echo(f"{model} at {url}/v1"))
    except OSError as error:
        raise _BadStart(f"cannot listen on {host}:{port}: {error.strerror}") from error


@main.command()
@click.option(
    "--template",
    type=click.Path(path_type=Path),
    help="The template to ask: a .jinja file, a tokenizer_config.json or a model directory.",
)
@click.option("--backend", help="The address of the vLLM to ask instead, with or without /v1.")
@click.option("--model", help="The served model.  [default: the only one that is served]")
@click.option("--api-key", envvar="ROLE_GUARD_API_KEY", help="The backend's API key.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def profile(
    template: Path | None,
    backend: str | None,
    model: str | None,
    api_key: str | None,
    as_json: bool,
) -> None:
    """Show what a chat template accepts, refuses and silently drops.

    Small conversations are put to the template, or to a vLLM, which is asked for no token. Each
    answer comes with the conversation that proved it.

    \b
      role-guard profile --template gemma3.jinja
      role-guard profile --backend http://localhost:8000 --json
    """
    if (template is None) == (backend is None):
        raise click.UsageError("give either --template or --backend")
    if backend is not None:
        learnt = asyncio.run(_learn_from_backend(backend, model, api_key))
    else:
        learnt = _learn_from_file(_load(template), str(template))
    if as_json:
        click.echo(learnt.as_json())
        return
    try:
        from rich.console import Console

        from .profile_table import print_table
    except ImportError as error:  # rich comes with the proxy
        needed = "pip install 'litellm-role-guard[proxy]', or use --json"
        raise _BadStart(f"the table needs {error.name}: {needed}") from error
    print_table(learnt, Console())


def _learn_from_file(template: ChatTemplate, source: str) -> Learnt:
    witness, start = Witness(), time.perf_counter()
    learnt = witness.learn(template)
    return Learnt(source, learnt, witness, time.perf_counter() - start)


async def _learn_from_backend(backend: str, model: str | None, api_key: str | None) -> Learnt:
    from .live import LearningFailed, learn_from_vllm, served_models

    try:
        names = await served_models(backend, api_key)
        if model is None and len(names) != 1:
            raise _BadStart(f"{backend}: --model is needed: {', '.join(names)}")
        name = model or names[0]
        if name not in names:
            raise _BadStart(f"{backend}: no model {name!r}, only: {', '.join(names)}")
        witness, start = Witness(), time.perf_counter()
        learnt = await learn_from_vllm(backend, name, api_key, witness=witness)
    except LearningFailed as error:
        raise _BadStart(str(error)) from error
    return Learnt(f"{name} at {backend}", learnt, witness, time.perf_counter() - start)


def _load(path: Path | None) -> ChatTemplate:
    if path is None:
        with as_file(files(__package__) / "templates" / "strict.jinja") as strict:
            return ChatTemplate.from_path(strict)
    try:
        return ChatTemplate.from_path(path)
    except TemplateInvalid as error:
        raise _BadStart(f"chat template {error}") from error
    except OSError as error:
        raise _BadStart(f"chat template {path}: {error.strerror}") from error


class _BadStart(click.ClickException):
    """A reason why a command cannot start: one line, and the exit code of a wrong option."""

    exit_code = 2
