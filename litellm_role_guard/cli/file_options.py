"""The options of commands that read files of conversations."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from ..batch.formats.reader import FORMATS

_Command = TypeVar("_Command", bound=Callable[..., Any])


def format_and_column(command: _Command) -> _Command:
    """Add the options that say what the lines of a file are."""
    for option in (
        click.option("--column", help="The column of a table that has the prompts."),
        click.option(
            "--format",
            "format_name",
            type=click.Choice(FORMATS),
            help="What the lines are.  [default: found out by the name and the first line]",
        ),
    ):
        command = option(command)
    return command


def jobs_and_keep_going(command: _Command) -> _Command:
    """Add the options of commands that work on many lines."""
    for option in (
        click.option(
            "--keep-going",
            is_flag=True,
            help="Report a line that is no conversation, and go on with the others.",
        ),
        click.option(
            "--jobs",
            type=click.IntRange(min=1),
            default=os.cpu_count() or 1,
            help="How many processes to use.  [default: one for each core]",
        ),
    ):
        command = option(command)
    return command
