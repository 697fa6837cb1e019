"""The command line: `role-guard ...`."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import click

from .conversation_file import BadConversation, Conversation, read_conversations
from .profile import TemplateProfile
from .proofs import Learnt, Witness
from .template import ChatTemplate, TemplateInvalid

if TYPE_CHECKING:
    from .check import Checked

_Command = TypeVar("_Command", bound=Callable[..., Any])


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


def _address(_context: click.Context, _option: click.Parameter, written: str | None) -> str | None:
    try:
        _ = urlsplit(written or "").port
    except ValueError as error:
        raise _BadStart(f"--backend: {error}") from error
    return written


def _template_or_backend(command: _Command) -> _Command:
    """Give a command the options that say who is to be asked."""
    for option in (
        click.option("--api-key", envvar="ROLE_GUARD_API_KEY", help="The backend's API key."),
        click.option("--model", help="The served model.  [default: the only one that is served]"),
        click.option(
            "--backend",
            callback=_address,
            help="The address of the vLLM to ask instead, with or without /v1.",
        ),
        click.option(
            "--template",
            type=click.Path(path_type=Path),
            help="The template to ask: a .jinja file, a tokenizer_config.json or a model "
            "directory.",
        ),
    ):
        command = option(command)
    return command


@main.command()
@_template_or_backend
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
    _want_either(template, backend)
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
    except ImportError as error:
        raise _no_table(error) from error
    print_table(learnt, Console())


@main.command()
@click.argument("conversation", type=click.Path(path_type=Path, allow_dash=True))
@_template_or_backend
@click.option("--diff", is_flag=True, help="Show the messages before and after the repair.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object for each conversation.")
@click.pass_context
def check(
    context: click.Context,
    conversation: Path,
    template: Path | None,
    backend: str | None,
    model: str | None,
    api_key: str | None,
    diff: bool,
    as_json: bool,
) -> None:
    """Tell whether a conversation would be taken, and what of it would not be read.

    CONVERSATION is a JSON file with a list of messages, or with an object that has `messages` and
    maybe `tools`, like the body of a request; JSON Lines with one of these on each line; or - for
    the standard input. The exit code is 0 where all is fine, 1 where a conversation would be
    refused or lose text, and 2 where nothing can be checked.

    \b
      role-guard check chat.json --template gemma3.jinja --diff
      role-guard check chats.jsonl --backend http://localhost:8000 --json
    """
    _want_either(template, backend)
    name = "stdin" if str(conversation) == "-" else str(conversation)
    given = _read(conversation, name)
    if backend is not None:
        checks = asyncio.run(_check_with_backend(given, backend, model, api_key))
    else:
        checks = asyncio.run(_check_with_file(given, _load(template)))
    if as_json:
        for checked in checks:
            click.echo(json.dumps(checked.as_json(diff=diff), ensure_ascii=False))
    else:
        try:
            from rich.console import Console

            from .check_table import print_checks
        except ImportError as error:
            raise _no_table(error) from error
        print_checks(checks, name, Console(), diff=diff)
    if any(checked.verdict.outcome != "fine" for checked in checks):
        context.exit(1)


@main.command()
@click.argument("template", type=click.Path(path_type=Path), required=False)
@click.option(
    "--backend", help="The address of a vLLM that shows its template at /tokenizer_info instead."
)
@click.option("--api-key", envvar="ROLE_GUARD_API_KEY", help="The backend's API key.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, allow_dash=True),
    required=True,
    help="The file to write; - for the standard output.",
)
def relax(template: Path | None, backend: str | None, api_key: str | None, output: Path) -> None:
    """Write a lenient template for `vllm serve --chat-template`.

    TEMPLATE is a .jinja file, a tokenizer_config.json or a model directory. The result makes the
    repairs that this template needs, then renders as it does.

    \b
      role-guard relax /models/gemma-3 -o relaxed.jinja
      vllm serve /models/gemma-3 --chat-template relaxed.jinja
    """
    from .relax import NotRelaxable
    from .relax import relax as relaxed

    if (template is None) == (backend is None):
        raise click.UsageError("give either TEMPLATE or --backend")
    if backend is not None:
        given, source = asyncio.run(_shown_template(backend, api_key)), backend
    else:
        given, source = _load(template), template.name if template is not None else ""
    try:
        text = relaxed(given, TemplateProfile.learn(given), source=source)
    except NotRelaxable as error:
        raise _BadStart(f"{template or backend}: {error}") from error
    try:
        with click.open_file(str(output), "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise _BadStart(f"{output}: {error.strerror}") from error


async def _shown_template(backend: str, api_key: str | None) -> ChatTemplate:
    from .live import LearningFailed, shown_tokenizer

    try:
        shown = await shown_tokenizer(backend, api_key)
    except LearningFailed as error:
        raise _BadStart(str(error)) from error
    if not shown:
        raise _BadStart(
            f"{backend}: shows no template; vLLM does with --enable-tokenizer-info-endpoint"
        )
    try:
        return ChatTemplate.from_config(shown)
    except TemplateInvalid as error:
        raise _BadStart(f"{backend}: {error}") from error


def _want_either(template: Path | None, backend: str | None) -> None:
    if (template is None) == (backend is None):
        raise click.UsageError("give either --template or --backend")


def _read(path: Path, name: str) -> list[Conversation]:
    try:
        with click.open_file(str(path), "rb") as file:
            return read_conversations(file.read(), name)
    except BadConversation as error:
        raise _BadStart(f"{name}: {error}") from error
    except OSError as error:
        raise _BadStart(f"{name}: {error.strerror}") from error


async def _check_with_file(given: Sequence[Conversation], template: ChatTemplate) -> list[Checked]:
    from .check import asking_template, check

    profile, ask = TemplateProfile.learn(template), asking_template(template)
    return [await check(conversation, ask, profile) for conversation in given]


async def _check_with_backend(
    given: Sequence[Conversation], backend: str, model: str | None, api_key: str | None
) -> list[Checked]:
    import httpx

    from .check import asking_vllm, check
    from .live import LearningFailed, learn_from_vllm

    try:
        async with httpx.AsyncClient() as client:
            name = await _served_model(backend, model, api_key)
            profile = await learn_from_vllm(backend, name, api_key, client=client)
            ask = asking_vllm(backend, name, api_key, client=client)
            return [await check(conversation, ask, profile) for conversation in given]
    except LearningFailed as error:
        raise _BadStart(str(error)) from error


def _learn_from_file(template: ChatTemplate, source: str) -> Learnt:
    witness, start = Witness(), time.perf_counter()
    learnt = witness.learn(template)
    return Learnt(source, learnt, witness, time.perf_counter() - start)


async def _learn_from_backend(backend: str, model: str | None, api_key: str | None) -> Learnt:
    from .live import LearningFailed, learn_from_vllm

    try:
        name = await _served_model(backend, model, api_key)
        witness, start = Witness(), time.perf_counter()
        learnt = await learn_from_vllm(backend, name, api_key, witness=witness)
    except LearningFailed as error:
        raise _BadStart(str(error)) from error
    return Learnt(f"{name} at {backend}", learnt, witness, time.perf_counter() - start)


async def _served_model(backend: str, model: str | None, api_key: str | None) -> str:
    from .live import served_models

    names = await served_models(backend, api_key)
    if model is None and len(names) != 1:
        raise _BadStart(f"{backend}: --model is needed: {', '.join(names)}")
    name = model or names[0]
    if name not in names:
        raise _BadStart(f"{backend}: no model {name!r}, only: {', '.join(names)}")
    return name


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


def _no_table(error: ImportError) -> _BadStart:
    needed = "pip install 'litellm-role-guard[proxy]', or use --json"  # the proxy brings rich
    return _BadStart(f"the table needs {error.name}: {needed}")
