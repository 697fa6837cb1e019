"""The command line."""

from __future__ import annotations

import click
from click.testing import CliRunner

from litellm_role_guard.cli.main import main


def test_every_option_has_a_help_text() -> None:
    """--help explains each option of each command."""
    assert {"simulate", "profile", "check"} <= set(main.commands)
    for name, command in main.commands.items():
        output = CliRunner().invoke(main, [name, "--help"]).output
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, parameter.name
                assert parameter.opts[0] in output
            else:
                assert parameter.make_metavar(click.Context(command)) in output
