"""The options of commands that read files of conversations."""

from __future__ import annotations

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
