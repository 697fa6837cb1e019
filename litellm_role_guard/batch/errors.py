"""What ends a run before its end.

BatchError: `str()` is one clear line
├── BadInput: the file, or a line of it, is no input
├── BadOutput: the output belongs to something else
├── BadTarget: the proxy or backend cannot be asked: unreachable, a wrong key, no such model
└── WriteFailed: the disk is full, or gone
"""

from __future__ import annotations


class BatchError(Exception):
    """A reason why a run cannot start or go on; `str()` is one line for people."""


class BadInput(BatchError):  # noqa: N818 - it says what is bad
    """An input, or a line of it, that cannot be asked.

    Args:
        reason: What is wrong with it, without any message text.
        line: Its line, counted from 1; None for the whole file.
        column: Where in the line, counted from 1.
        name: The name of the file, where `str()` shall begin with it.
    """

    def __init__(
        self,
        reason: str,
        line: int | None = None,
        column: int | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(reason, line, column, name)  # so that it crosses processes
        self.reason = reason
        self.line = line
        self.column = column
        self.name = name

    def __str__(self) -> str:
        place = [] if self.name is None else [self.name]
        if self.line is not None:
            column = "" if self.column is None else f", column {self.column}"
            place.append(f"line {self.line}{column}")
        return ": ".join([*place, self.reason])

    def at(self, line: int | None) -> BadInput:
        """Return the same with its line, where it has none."""
        return BadInput(self.reason, self.line or line, self.column, self.name)

    def within(self, name: str) -> BadInput:
        """Return the same with the name of the file."""
        return BadInput(self.reason, self.line, self.column, name)


class BadOutput(BatchError):  # noqa: N818
    """An output that exists and belongs to another run, or that another run is writing."""


class BadTarget(BatchError):  # noqa: N818
    """A proxy or backend that cannot be asked."""


class WriteFailed(BatchError):  # noqa: N818
    """What was answered cannot be written any more; nothing that was written is lost."""
