"""What several commands share: their options, templates and errors."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..backend.address import address_fault, shown_address
from ..template.chat_template import ChatTemplate
from ..template.errors import TemplateInvalid

if TYPE_CHECKING:
    from ..backend.backend import Backend
    from ..backend.errors import LearningFailed

TEMPLATE_SOURCES = (
    "a .jinja file, a tokenizer_config.json, a GGUF file, a model directory, or a model in the "
    "Hugging Face cache (google/gemma-3-12b-it, or its folder)"
)
"""What `load_template` takes, for the help of a command."""

KEY_OPTION = ": --api-key, ROLE_GUARD_API_KEY"
"""What a line ends with that says that a key is missing, or wrong."""

_Command = TypeVar("_Command", bound=Callable[..., Any])


def an_address(_context: click.Context, option: click.Parameter, written: str | None) -> str | None:
    """Return the address that an option names.

    Raises:
        BadStart: It is none.
    """
    fault = None if written is None else address_fault(written)
    if fault is not None:
        raise BadStart(f"{option.opts[0]}: {shown_address(str(written))!r} {fault}")
    return written


def proxy_option(form: str = "") -> Callable[[_Command], _Command]:
    """Return what adds the option that names the proxy.

    Args:
        form: What its help says of the form of the address.
    """
    return click.option(
        "--proxy",
        default="http://localhost:4000",
        show_default=True,
        envvar="ROLE_GUARD_PROXY",
        callback=an_address,
        help=f"The address of the LiteLLM proxy{form}.",
    )


def template_or_backend(command: _Command) -> _Command:
    """Add the options that name the template or the backend to check against."""
    for option in (
        click.option("--api-key", envvar="ROLE_GUARD_API_KEY", help="The backend's API key."),
        click.option("--model", help="The served model.  [default: the only one that is served]"),
        click.option(
            "--backend",
            callback=an_address,
            help="The address of the vLLM to ask instead, with or without /v1.",
        ),
        click.option(
            "--template",
            type=click.Path(path_type=Path),
            help=f"The template to ask: {TEMPLATE_SOURCES}.",
        ),
    ):
        command = option(command)
    return command


def want_either(template: Path | None, backend: str | None) -> None:
    """Raise `click.UsageError` unless exactly one of the two options is there."""
    if (template is None) == (backend is None):
        raise click.UsageError("give either --template or --backend")


def backend_at(url: str, api_key: str | None) -> Backend:
    """Return the backend at the address of `--backend`."""
    from ..backend.backend import Backend  # httpx takes 0.1 s to import

    return Backend(url, url, api_key=api_key)


async def with_served_model(backend: Backend, model: str | None) -> Backend:
    """Return the backend with a model that it serves.

    Args:
        backend: The vLLM.
        model: The name of the model; None for the only one that is served.

    Raises:
        BadStart: The backend serves no such model, or several.
        LearningFailed: The backend cannot be reached, or names no models.
    """
    from ..backend.identity import served_models

    names = await served_models(backend)
    if model is None and len(names) != 1:
        raise BadStart(f"{backend.url}: --model is needed: {', '.join(names)}")
    name = model or names[0]
    if name not in names:
        raise BadStart(f"{backend.url}: no model {name!r}, only: {', '.join(names)}")
    return dataclasses.replace(backend, model=name)


def not_asked(error: LearningFailed) -> BadStart:
    """Return why a backend was not asked, and where its key goes if that is what it wants."""
    from ..backend.errors import KeyRefused

    return BadStart(f"{error}{KEY_OPTION if isinstance(error, KeyRefused) else ''}")


def load_template(path: Path | None) -> ChatTemplate:
    """Return the chat template at a path.

    Args:
        path: Where it is, see `ChatTemplate.from_path`; None for the strict template that ships
            with the package.

    Raises:
        BadStart: There is no template that can be read.
    """
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
