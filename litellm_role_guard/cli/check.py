"""`role-guard check`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..batch.errors import BadInput
from ..batch.formats.reader import InputFile
from ..profile.template_profile import TemplateProfile
from ..template.chat_template import ChatTemplate
from .common import (
    BadStart,
    backend_at,
    load_template,
    not_asked,
    template_or_backend,
    want_either,
    with_served_model,
)
from .file_options import format_and_column, jobs_and_keep_going
from .line_progress import shown

if TYPE_CHECKING:
    from ..batch.checking import CheckedRow
    from ..batch.conversation import FileConversation
    from ..batch.verdict import Ask, Checked
    from .check_sums import CheckSums

_ASKED_AT_ONCE = 16


@click.command(short_help="Say what becomes of a conversation.")
@click.argument("conversation", metavar="IN")
@template_or_backend
@click.option("--diff", is_flag=True, help="Show the messages before and after the repair.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object for each conversation.")
@click.option("--summary", is_flag=True, help="Print sums alone: for files of many conversations.")
@format_and_column
@jobs_and_keep_going
@click.pass_context
def check(
    context: click.Context,
    /,
    conversation: str,
    template: Path | None,
    backend: str | None,
    model: str | None,
    api_key: str | None,
    diff: bool,
    as_json: bool,
    summary: bool,
    format_name: str | None,
    column: str | None,
    jobs: int,
    keep_going: bool,
) -> None:
    """Check whether a conversation would be accepted, and what of it would be lost or read wrong.

    IN is a JSON file with a list of messages, or with an object that has `messages` and maybe
    `tools`, like the body of a request; JSON Lines, CSV or Parquet with one conversation on each
    line, of any kind that `batch` reads; or - for the standard input. The exit code is 0 where all
    is fine, 1 where a conversation would be refused, lose text or be read wrong, and 2 where
    nothing can be checked.

    \b
      role-guard check chat.json --template gemma3.jinja --diff
      role-guard check chats.jsonl --backend http://localhost:8000 --json
      role-guard check chats.jsonl --template gemma3.jinja --summary
    """
    want_either(template, backend)
    if as_json and summary:
        raise click.UsageError("give either --json or --summary")
    file = InputFile(conversation, format_name, column)
    try:
        if not (summary or as_json or keep_going):
            all_fine = _print_tables(file, template, backend, model, api_key, diff=diff)
        else:
            from .check_sums import CheckSums

            sums = CheckSums(file.name, as_json=as_json, keep_going=keep_going)
            if backend is not None:
                asyncio.run(_ask_backend(file, backend, model, api_key, sums, diff=diff))
            else:
                _ask_template(file, load_template(template), jobs, sums, diff=diff)
            if not as_json:
                sums.print()
            all_fine = sums.all_fine
    except BadInput as error:
        raise BadStart(str(error)) from error
    if not all_fine:
        context.exit(1)


def _ask_template(
    file: InputFile, template: ChatTemplate, jobs: int, sums: CheckSums, *, diff: bool
) -> None:
    from ..batch.checking import CheckRows
    from ..batch.parallel import worked_on

    work = CheckRows(template, TemplateProfile.learn(template), sums.as_json, diff)
    for row in shown(worked_on(file, work, jobs), "checking"):
        sums.add(row)


async def _ask_backend(
    file: InputFile,
    url: str,
    model: str | None,
    api_key: str | None,
    sums: CheckSums,
    *,
    diff: bool,
) -> None:
    from itertools import islice

    from ..backend.errors import LearningFailed
    from ..batch.checking import checked_row

    line_format, rows = file.open()
    try:
        async with _asked(url, model, api_key) as (ask, profile):
            while chunk := list(islice(rows, _ASKED_AT_ONCE)):
                asked = (
                    checked_row(row, line_format, ask, profile, as_json=sums.as_json, diff=diff)
                    for row in chunk
                )
                checked: list[CheckedRow] = await asyncio.gather(*asked)
                for row in checked:
                    sums.add(row)
    except LearningFailed as error:
        raise not_asked(error) from error


def _print_tables(
    file: InputFile,
    template: Path | None,
    backend: str | None,
    model: str | None,
    api_key: str | None,
    *,
    diff: bool,
) -> bool:
    """Print a table for each conversation; return whether all are fine."""
    from rich.console import Console

    from ..batch.checking import conversations_in
    from .check_table import print_checks

    conversations = list(conversations_in(file))
    if backend is not None:
        checks = asyncio.run(_check_with_backend(conversations, backend, model, api_key))
    else:
        checks = asyncio.run(_check_with_file(conversations, load_template(template)))
    print_checks(checks, file.name, Console(), diff=diff)
    return all(checked.verdict.outcome == "fine" for checked in checks)


async def _check_with_file(
    conversations: Sequence[FileConversation], template: ChatTemplate
) -> list[Checked]:
    from ..batch.verdict import asking_template, check

    profile, ask = TemplateProfile.learn(template), asking_template(template)
    checks = []
    for conversation in conversations:
        checks.append(await check(conversation, ask, profile))
        await asyncio.sleep(0)  # ctrl-C is heeded here only
    return checks


async def _check_with_backend(
    conversations: Sequence[FileConversation], url: str, model: str | None, api_key: str | None
) -> list[Checked]:
    from ..backend.errors import LearningFailed
    from ..batch.verdict import check

    try:
        async with _asked(url, model, api_key) as (ask, profile):
            return [await check(conversation, ask, profile) for conversation in conversations]
    except LearningFailed as error:
        raise not_asked(error) from error


@asynccontextmanager
async def _asked(
    url: str, model: str | None, api_key: str | None
) -> AsyncIterator[tuple[Ask, TemplateProfile]]:
    """Yield what renders with a live vLLM, and what its template accepts."""
    from ..batch.verdict import asking_backend
    from ..probing.live import learn_from_backend

    async with backend_at(url, api_key).reusing_connections() as connected:
        backend = await with_served_model(connected, model)
        yield asking_backend(backend), await learn_from_backend(backend)
