"""`role-guard doctor`."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .common import BadStart

if TYPE_CHECKING:
    from .checkup import Checkup


@click.command(short_help="Check a proxy's config and its backends.")
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--offline", is_flag=True, help="Ask no backend and no Redis.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@click.pass_context
def doctor(context: click.Context, config: Path, offline: bool, as_json: bool) -> None:
    """Check a LiteLLM proxy's config, and ask the backends that it names.

    CONFIG is read as LiteLLM reads it, with the variables of this shell, and nothing is started.
    Each hosted_vllm backend is asked what it serves, takes and reads, for two tokens at most.
    The exit code is 0 where all is right, 1 where the proxy would start and answer, but not do
    what is written, and 2 where it would not start, where requests would fail or the guard would
    not be on, or where the config cannot be read.

    \b
      role-guard doctor config.yaml
      role-guard doctor config.yaml --offline --json
    """
    from ..config.proxy_config import ProxyConfig
    from ..config.yaml_file import UnreadableConfigError
    from .checkup import check_up

    try:
        read = ProxyConfig.read(config)
    except UnreadableConfigError as error:
        raise BadStart(str(error)) from error
    checkup = asyncio.run(check_up(read, config, offline=offline))
    if as_json:
        click.echo(json.dumps(checkup.as_json(), indent=2, ensure_ascii=False))
    else:
        _print(checkup)
    context.exit(checkup.exit_code)


def _print(checkup: Checkup) -> None:
    from rich.console import Console

    from .doctor_table import print_checkup

    print_checkup(checkup, Console())
