"""The command line."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from litellm_role_guard.cli.main import main
from testing.templates import STRICT


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


@pytest.mark.parametrize(
    ("command", "option"),
    [
        (("check", str(STRICT)), "--backend"),
        (("profile",), "--backend"),
        (("relax",), "--backend"),
        (("repair", str(STRICT), "-o", "-"), "--backend"),
        (("batch", str(STRICT), "-"), "--backend"),
        (("batch", str(STRICT), "-"), "--proxy"),
        (("recent",), "--proxy"),
    ],
)
@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("localhost:8000", "'localhost:8000' is no address: it begins with neither http:// nor"),
        ("http://localhost:99999", "'http://localhost:99999' is no address: Port out of range"),
        ("http://:8000", "'http://:8000' is no address: it has no host"),
        ("http://ann:secret@", "'http://' is no address: it has no host"),
    ],
)
def test_what_is_no_address_is_one_line(
    command: tuple[str, ...], option: str, address: str, said: str
) -> None:
    """Whichever command is given it, and without what may be a password in it."""
    outcome = CliRunner().invoke(main, [*command, option, address])
    assert (outcome.exit_code, outcome.output.count("\n")) == (2, 1)
    assert outcome.output.startswith(f"Error: {option}: {said}")
