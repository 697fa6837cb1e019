"""`role-guard relax`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from ..profile.template_profile import TemplateProfile
from ..template.chat_template import ChatTemplate
from ..template.errors import TemplateInvalid
from .common import BadStart, backend_at, load_template


@click.command()
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
    from ..relax.relax import NotRelaxable
    from ..relax.relax import relax as relaxed

    if (template is None) == (backend is None):
        raise click.UsageError("give either TEMPLATE or --backend")
    if backend is not None:
        original, source = asyncio.run(_shown_template(backend, api_key)), backend
    else:
        original, source = load_template(template), template.name if template is not None else ""
    try:
        text = relaxed(original, TemplateProfile.learn(original), source=source)
    except NotRelaxable as error:
        raise BadStart(f"{template or backend}: {error}") from error
    try:
        with click.open_file(str(output), "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise BadStart(f"{output}: {error.strerror}") from error


async def _shown_template(backend: str, api_key: str | None) -> ChatTemplate:
    from ..backend.errors import LearningFailed
    from ..backend.identity import shown_tokenizer

    try:
        shown = await shown_tokenizer(backend_at(backend, api_key))
    except LearningFailed as error:
        raise BadStart(str(error)) from error
    if not shown:
        raise BadStart(
            f"{backend}: shows no template; vLLM does with --enable-tokenizer-info-endpoint"
        )
    try:
        return ChatTemplate.from_config(shown)
    except TemplateInvalid as error:
        raise BadStart(f"{backend}: {error}") from error
