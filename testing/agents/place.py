"""Where a chat with an agent is had, and the program that has it there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from .program import Program


class Place(NamedTuple):
    """What an agent is pointed at, and where it is at home.

    Attributes:
        url: The proxy's address.
        model: The model group.
        folder: Where its home and its working folder are put.
        environment: Further variables.
    """

    url: str
    model: str
    folder: Path
    environment: Mapping[str, str]

    def program(self, command: Sequence[str | Path], variables: Mapping[str, str]) -> Program:
        """Return a program that is at home here.

        Args:
            command: Its file, and the arguments that it always has.
            variables: Its own variables.
        """
        return Program(command, self.folder, {**variables, **self.environment})
