"""`role-guard relax`."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

import click

from ..profile.template_profile import TemplateProfile
from ..template.chat_template import ChatTemplate
from ..template.errors import TemplateInvalid
from ..template.model_files import cached_model, template_file
from .common import BadStart, an_address, backend_at, load_template, not_asked


@click.command()
@click.argument("template", type=click.Path(path_type=Path), required=False)
@click.option(
    "--template",
    "named_template",
    type=click.Path(path_type=Path),
    help="The same as TEMPLATE, as the other commands have it.",
)
@click.option(
    "--backend",
    callback=an_address,
    help="The address of a vLLM that shows its template at /tokenizer_info instead.",
)
@click.option("--api-key", envvar="ROLE_GUARD_API_KEY", help="The backend's API key.")
@click.option(
    "--hf-cache",
    metavar="NAME",
    help="The name of a model in the Hugging Face cache instead; nothing is downloaded.",
)
@click.option(
    "--named",
    type=click.Choice(["default", "tool_use"]),
    help="Which one, where the model has a second template for requests with tools.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, allow_dash=True),
    default="-",
    help="The file to write.  [default: the standard output]",
)
def relax(
    template: Path | None,
    named_template: Path | None,
    backend: str | None,
    api_key: str | None,
    hf_cache: str | None,
    named: str | None,
    output: Path,
) -> None:
    """Write a lenient template for `vllm serve --chat-template`.

    TEMPLATE is a .jinja file, a tokenizer_config.json, a GGUF file, a model directory, or a model
    in the Hugging Face cache by its name or folder. The result makes the repairs that this
    template needs, then renders as it does.

    \b
      role-guard relax /models/gemma-3 -o relaxed.jinja
      role-guard relax --hf-cache google/gemma-3-12b-it -o relaxed.jinja
      vllm serve google/gemma-3-12b-it --chat-template relaxed.jinja
    """
    from ..relax.relax import NotRelaxable
    from ..relax.relax import relax as relaxed

    if [template, named_template, backend, hf_cache].count(None) != 3:
        raise click.UsageError("give one of TEMPLATE, --hf-cache and --backend")
    if backend is not None:
        original, source = asyncio.run(_shown_template(backend, api_key)), backend
    elif hf_cache is not None:
        original, source = _from_file(_cached(hf_cache), output), hf_cache
    else:
        path = template or named_template
        assert path is not None  # one of four
        original, source = _from_file(path, output), path.name
    if named is not None:
        original, source = _named(original, named, source), f"{source}, {named}"
    try:
        text = relaxed(original, TemplateProfile.learn(original), source=source)
    except NotRelaxable as error:
        raise BadStart(f"{source}: {error}") from error
    try:
        with click.open_file(str(output), "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise BadStart(f"{output}: {error.strerror}") from error


def _from_file(path: Path, output: Path) -> ChatTemplate:
    template = load_template(path)
    with contextlib.suppress(OSError):
        if os.path.samefile(template_file(path), output):
            raise BadStart(f"{output}: is the template itself; write to another file")
    return template


def _cached(name: str) -> Path:
    try:
        return cached_model(name)
    except OSError as error:
        raise BadStart(f"--hf-cache {name}: {error.strerror}") from error


def _named(template: ChatTemplate, name: str, source: str) -> ChatTemplate:
    if template.tool_use is None:
        raise BadStart(f"{source}: has one template only, so that --named names none")
    if name == "tool_use":
        return template.tool_use
    return ChatTemplate(template.text, special_tokens=template.special_tokens)


async def _shown_template(backend: str, api_key: str | None) -> ChatTemplate:
    from ..backend.errors import LearningFailed
    from ..backend.identity import shown_tokenizer

    try:
        shown = await shown_tokenizer(backend_at(backend, api_key))
    except LearningFailed as error:
        raise not_asked(error) from error
    if not shown:
        raise BadStart(
            f"{backend}: shows no template; vLLM does with --enable-tokenizer-info-endpoint"
        )
    try:
        return ChatTemplate.from_config(shown)
    except TemplateInvalid as error:
        raise BadStart(f"{backend}: {error}") from error
