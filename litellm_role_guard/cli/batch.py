"""`role-guard batch`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..batch.errors import BatchError, WriteFailed
from .common import an_address, proxy_option
from .file_options import format_and_column

if TYPE_CHECKING:
    from ..batch.job import Ending, RunningJob
    from .batch_report import Reporter

ALL_ANSWERED, SOME_FAILED, BAD_START, CANNOT_WRITE, INTERRUPTED = 0, 1, 2, 3, 130

_TYPED = click.core.ParameterSource.COMMANDLINE


def _parameters(
    _context: click.Context, _option: click.Parameter, given: tuple[str, ...]
) -> dict[str, Any]:
    parameters = {}
    for each in given:
        name, equals, written = each.partition("=")
        try:
            parameters[name] = json.loads(written)
        except ValueError as error:
            example = """--param stop='["END"]'"""
            raise click.UsageError(f"--param {each}: not NAME=JSON, as in {example}") from error
        if not equals or not name:
            raise click.UsageError(f"--param {each}: not NAME=JSON")
    return parameters


@click.command(short_help="Ask every line of a file, all at once.")
@click.argument("in", metavar="IN")
@click.argument("out", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--model", help="The model group.  [default: the `model` of each line]")
@proxy_option(", with or without /v1")
@click.option(
    "--backend",
    callback=an_address,
    help="The address of a vLLM to ask in place of a proxy; the guard repairs what it sends.",
)
@click.option("--api-key", envvar="ROLE_GUARD_API_KEY", help="The key of the proxy or the vLLM.")
@click.option(
    "--max-concurrent",
    type=click.IntRange(min=1),
    default=500,
    show_default=True,
    help="How many requests may be under way at once.",
)
@format_and_column
@click.option("--max-tokens", type=click.IntRange(min=1), help="How long an answer may be.")
@click.option("--temperature", type=click.FloatRange(min=0), help="The sampling temperature.")
@click.option("--system", help="A system message for every conversation that begins without one.")
@click.option(
    "--param",
    "params",
    multiple=True,
    metavar="NAME=JSON",
    callback=_parameters,
    help="Any other field of the request; may be repeated. What a line says itself wins.",
)
@click.option("--unordered", is_flag=True, help="Write answers as they come.")
@click.option(
    "--text-only",
    is_flag=True,
    help=r"Write the text of each answer on a line, its own line breaks as \n.",
)
@click.option("--fail-fast", is_flag=True, help="Stop at the first request that fails for good.")
@click.option(
    "--max-errors", type=click.IntRange(min=0), help="Stop when more than this many have failed."
)
@click.option(
    "--max-tries",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="How often a request is sent that meets a 429, a 5xx or a dropped connection.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=600.0,
    show_default=True,
    help="Seconds that one try may take.",
)
@click.option("--retry-failed", is_flag=True, help="Ask again what an earlier run has given up.")
@click.option("--overwrite", is_flag=True, help="Begin anew, whatever OUT has.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
@click.pass_context
def batch(
    context: click.Context,
    /,
    out: Path,
    proxy: str,
    backend: str | None,
    fail_fast: bool,
    max_errors: int | None,
    max_tries: int,
    quiet: bool,
    **options: Any,
) -> None:
    """Ask every line of a file at once, bounded, and write the answers.

    IN is JSON Lines (also .gz, - for the standard input), CSV or Parquet. Each line is a string,
    an object with `prompt` or `messages`, an OpenAI batch line, or a ShareGPT conversation. OUT
    has OpenAI batch output lines, in the order of IN. What was answered is kept beside it in
    OUT.journal: the same command goes on where it was stopped or killed.

    The exit code is 0 where all are answered, 1 where some failed, 2 for bad usage or input, 3
    where the answers cannot be written, 130 after ctrl-C. The first ctrl-C waits for what is
    under way, a second one does not.

    \b
      role-guard batch prompts.jsonl answers.jsonl --model gemma3 --max-tokens 200
      role-guard batch prompts.jsonl answers.jsonl --backend http://localhost:8000
    """
    if backend is not None and context.get_parameter_source("proxy") is _TYPED:
        raise click.UsageError("give either --proxy or --backend")
    from ..batch.asking import Asking
    from ..batch.formats.reader import InputFile
    from ..batch.job import Job, RunningJob
    from ..batch.sending.retries import Retries
    from ..batch.target import Server
    from .batch_report import reporter_for

    job = Job(
        file=InputFile(options["in"], options["format_name"], options["column"]),
        out=out,
        asking=Asking(
            options["model"],
            options["system"],
            options["params"],
            options["max_tokens"],
            options["temperature"],
        ),
        server=Server(backend or proxy, backend is not None, options["api_key"]),
        max_concurrent=options["max_concurrent"],
        retries=Retries(max_tries),
        seconds=options["timeout"],
        ordered=not options["unordered"],
        text_only=options["text_only"],
        overwrite=options["overwrite"],
        retry_failed=options["retry_failed"],
        max_errors=0 if fail_fast else max_errors,
    )
    reporter = reporter_for(quiet=quiet)
    running = RunningJob(job, reporter)
    context.exit(asyncio.run(_run(running, reporter)))


async def _run(running: RunningJob, reporter: Reporter) -> int:
    task = asyncio.ensure_future(running.run())

    def stop() -> None:
        if running.is_stopping:
            task.cancel()
        else:
            reporter.note("waiting for what is under way; ctrl-C once more does not wait")
            running.drain()

    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # on Windows
            asyncio.get_running_loop().add_signal_handler(number, stop)
    watching = asyncio.ensure_future(reporter.watch())
    ending: Ending = "drained"
    try:
        ending = await task
    except asyncio.CancelledError:
        pass
    except BatchError as error:
        reporter.close()
        if isinstance(error.__cause__, BrokenPipeError):
            return CANNOT_WRITE  # `| head` has read enough
        click.echo(f"Error: {error}", err=True)
        if not isinstance(error, WriteFailed):
            return BAD_START
        click.echo("What was answered before is kept; the same command goes on.", err=True)
        return CANNOT_WRITE
    finally:
        watching.cancel()
        reporter.close()
    reporter.summary(running.tally, ending, running.waiting)
    if ending == "drained":
        return INTERRUPTED
    return SOME_FAILED if running.tally.failed else ALL_ANSWERED
