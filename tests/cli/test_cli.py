"""The command line."""

from __future__ import annotations

import json
from pathlib import Path

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


def test_the_list_of_commands_is_cut_nowhere() -> None:
    """Each command is explained in whole words."""
    listed = CliRunner().invoke(main, ["--help"]).output
    assert "..." not in listed.partition("Commands:")[2]


@pytest.mark.parametrize("command", ["check", "profile", "relax", "repair", "simulate"])
def test_every_command_takes_a_template_by_the_same_option(command: str) -> None:
    """So that what one has taught holds for the next."""
    options = [option for each in main.commands[command].params for option in each.opts]
    assert "--template" in options


def test_profile_takes_a_template_as_relax_does() -> None:
    """Without an option's name."""
    ways = (str(STRICT),), ("--template", str(STRICT))
    outputs = [CliRunner().invoke(main, ["profile", *way, "--json"]).output for way in ways]
    assert len({json.dumps(json.loads(output)["profile"]) for output in outputs}) == 1
    assert CliRunner().invoke(main, ["profile", "a", "--template", "b"]).exit_code == 2


@pytest.mark.parametrize("command", [["profile"], ["relax"], ["simulate", "--template"]])
def test_an_empty_template_is_one_line(command: list[str], tmp_path: Path) -> None:
    """A file that a failed command has left, say."""
    path = tmp_path / "empty.jinja"
    path.write_text(" \n")
    outcome = CliRunner().invoke(main, [*command, str(path)])
    assert (outcome.exit_code, outcome.output) == (2, f"Error: chat template {path}: empty\n")
