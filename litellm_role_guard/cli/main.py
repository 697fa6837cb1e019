"""The command line: `role-guard ...`."""

from __future__ import annotations

import click

from .batch import batch
from .check import check
from .doctor import doctor
from .profile import profile
from .recent import recent
from .relax import relax
from .repair import repair
from .simulate import simulate


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="litellm-role-guard", message="%(package)s %(version)s")
def main() -> None:
    """Chat histories that a vLLM backend takes and reads."""


for command in (simulate, profile, check, doctor, relax, repair, batch, recent):
    main.add_command(command)
