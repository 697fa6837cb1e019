"""What several commands share: their options, templates and errors."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click

from ..template.chat_template import ChatTemplate
from ..template.errors import TemplateInvalid

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _address(_context: click.Context, _option: click.Parameter, written: str | None) -> str | None:
    try:
        _ = urlsplit(written or "").port
    except ValueError as error:
        raise BadStart(f"--backend: {error}") from error
    return written


def template_or_backend(command: _Command) -> _Command:
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


def want_either(template: Path | None, backend: str | None) -> None:
    if (template is None) == (backend is None):
        raise click.UsageError("give either --template or --backend")


async def served_model(backend: str, model: str | None, api_key: str | None) -> str:
    from ..backend.identity import served_models

    names = await served_models(backend, api_key)
    if model is None and len(names) != 1:
        raise BadStart(f"{backend}: --model is needed: {', '.join(names)}")
    name = model or names[0]
    if name not in names:
        raise BadStart(f"{backend}: no model {name!r}, only: {', '.join(names)}")
    return name


def load_template(path: Path | None) -> ChatTemplate:
    if path is None:
        with as_file(files("litellm_role_guard") / "simulator" / "strict.jinja") as strict:
            return ChatTemplate.from_path(strict)
    try:
        return ChatTemplate.from_path(path)
    except TemplateInvalid as error:
        raise BadStart(f"chat template {error}") from error
    except OSError as error:
        raise BadStart(f"chat template {path}: {error.strerror}") from error


class BadStart(click.ClickException):
    """A reason why a command cannot start: one line, and the exit code of a wrong option."""

    exit_code = 2


def no_table(error: ImportError) -> BadStart:
    needed = "pip install 'litellm-role-guard[proxy]', or use --json"  # the proxy brings rich
    return BadStart(f"the table needs {error.name}: {needed}")
