"""`role-guard profile`."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import click

from ..probing.evidence import Learnt, ProbeRecorder
from ..template.chat_template import ChatTemplate
from .common import (
    backend_at,
    load_template,
    not_asked,
    template_or_backend,
    want_either,
    with_served_model,
)


@click.command()
@click.argument("given", metavar="[TEMPLATE]", type=click.Path(path_type=Path), required=False)
@template_or_backend
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def profile(
    given: Path | None,
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
      role-guard profile gemma3.jinja
      role-guard profile --backend http://localhost:8000 --json
    """
    if given is not None and template is not None:
        raise click.UsageError("give one template, as TEMPLATE or with --template")
    template = template or given
    want_either(template, backend)
    if backend is not None:
        learnt = asyncio.run(_learn_from_backend(backend, model, api_key))
    else:
        learnt = _learn_from_file(load_template(template), str(template))
    if as_json:
        click.echo(learnt.as_json())
        return
    from rich.console import Console

    from .profile_table import print_table

    print_table(learnt, Console())


def _learn_from_file(template: ChatTemplate, source: str) -> Learnt:
    recorder, start = ProbeRecorder(), time.perf_counter()
    learnt = recorder.learn(template)
    return Learnt(source, learnt, recorder, time.perf_counter() - start)


async def _learn_from_backend(url: str, model: str | None, api_key: str | None) -> Learnt:
    from ..backend.errors import LearningFailed
    from ..probing.live import learn_from_backend

    try:
        backend = await with_served_model(backend_at(url, api_key), model)
        recorder, start = ProbeRecorder(), time.perf_counter()
        learnt = await learn_from_backend(backend, recorder=recorder)
    except LearningFailed as error:
        raise not_asked(error) from error
    return Learnt(f"{backend.model} at {url}", learnt, recorder, time.perf_counter() - start)
