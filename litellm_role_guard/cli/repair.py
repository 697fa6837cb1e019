"""`role-guard repair`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from ..batch.errors import BadInput
from ..batch.formats.reader import InputFile
from ..profile.template_profile import TemplateProfile
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
    from ..batch.repairing import RepairedRow


@click.command()
@click.argument("file", metavar="IN")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, allow_dash=True),
    required=True,
    help="The file to write; - for the standard output.",
)
@template_or_backend
@format_and_column
@jobs_and_keep_going
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
@click.pass_context
def repair(
    context: click.Context,
    /,
    file: str,
    output: Path,
    template: Path | None,
    backend: str | None,
    model: str | None,
    api_key: str | None,
    format_name: str | None,
    column: str | None,
    jobs: int,
    keep_going: bool,
    quiet: bool,
) -> None:
    """Repair the conversations of a file for a chat template.

    IN is JSON Lines (also .gz, - for the standard input), CSV or Parquet, of any kind that `batch`
    reads. Each line keeps its form; what a template takes as it is stays as it is. A prompt that
    has to become several messages is written with `messages`.

    The exit code is 0 where all lines are written, 1 where some were left out with --keep-going,
    and 2 where nothing was written.

    \b
      role-guard repair chats.jsonl -o repaired.jsonl --template /models/gemma-3
      role-guard repair chats.jsonl.gz -o - --backend http://localhost:8000 --keep-going
    """
    from ..batch.parallel import worked_on
    from ..batch.repairing import RepairRows

    want_either(template, backend)
    source = InputFile(file, format_name, column)
    if backend is not None:
        profile = asyncio.run(_profile_of(backend, model, api_key))
    else:
        profile = TemplateProfile.learn(load_template(template))
    sums = _Sums()
    try:
        with _written_whole(output, source) as written:
            for row in shown(worked_on(source, RepairRows(profile), jobs), "repairing"):
                _take(row, source, written, sums, keep_going=keep_going)
    except BadInput as error:
        raise BadStart(str(error)) from error
    except OSError as error:
        raise BadStart(f"{output}: {error.strerror}") from error
    if not quiet:
        click.echo(sums.line(as_json=not sys.stderr.isatty()), err=True)
    context.exit(1 if sums.bad else 0)


class _Sums:
    def __init__(self) -> None:
        self.lines = self.repaired = self.bad = 0
        self.changes: Counter[str] = Counter()

    def line(self, *, as_json: bool) -> str:
        """Return the sums on one line."""
        if as_json:
            return json.dumps({"summary": vars(self)})
        changes = ", ".join(f"{what}: {count:,}" for what, count in self.changes.items())
        told = f"{self.lines:,} lines, {self.repaired:,} repaired"
        told += f" ({changes})" if changes else ""
        return told + (f"; {self.bad:,} left out" if self.bad else "")


def _take(
    row: RepairedRow, source: InputFile, written: IO[bytes], sums: _Sums, *, keep_going: bool
) -> None:
    if row.bad is not None:
        if not keep_going:
            raise row.bad.within(source.name)
        click.echo(str(row.bad.within(source.name)), err=True)
        sums.bad += 1
        return
    assert row.written is not None  # it is not bad
    written.write(row.written + b"\n")
    sums.lines += 1
    sums.repaired += bool(row.changes)
    sums.changes.update(row.changes)


@contextlib.contextmanager
def _written_whole(output: Path, source: InputFile) -> Iterator[IO[bytes]]:
    """Yield a file that is there under its name only once all of it is written."""
    if str(output) == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with contextlib.suppress(OSError):
        if not source.is_stdin and os.path.samefile(source.path, output):
            raise BadStart(f"{output}: is the input")
    part = output.with_name(output.name + ".part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(output)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


async def _profile_of(url: str, model: str | None, api_key: str | None) -> TemplateProfile:
    from ..backend.errors import LearningFailed
    from ..probing.live import learn_from_backend

    try:
        async with backend_at(url, api_key).reusing_connections() as connected:
            return await learn_from_backend(await with_served_model(connected, model))
    except LearningFailed as error:
        raise not_asked(error) from error
