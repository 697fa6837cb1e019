"""The output of a run, made of its journal: in the input's order, or in that of the answers.

What it has to hold follows from the journal alone. So it is written anew from there when a run
goes on, and needs no care when a run is killed.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import IO

from .errors import BadOutput, WriteFailed
from .formats.json_text import dumped
from .journal import Journal
from .sending.request import BatchResult

STDOUT = Path("-")


class Output:
    """The lines of the output that can be written by now.

    Args:
        path: Its path; `-` for the standard output.
        journal: What was answered before.
        ordered: Whether the lines stand in the input's order.
        text_only: Whether a line is the answer's text alone, on one line.

    Raises:
        BadOutput: It cannot be opened.
        WriteFailed: The disk is full, or gone.
    """

    def __init__(self, path: Path, journal: Journal, *, ordered: bool, text_only: bool) -> None:
        self._path = path
        self._journal = journal
        self._ordered = ordered
        self._text_only = text_only
        self._next = 0
        try:
            self._file: IO[bytes] = sys.stdout.buffer if path == STDOUT else path.open("wb")
        except OSError as error:
            raise BadOutput(f"{path}: {error.strerror}") from error
        if ordered:
            self._write_next()
        else:
            for result in journal.results():
                self._write(result)
        self._flush()

    def add(self, result: BatchResult) -> None:
        """Write a result that the journal has, or keep it there until its turn comes.

        Raises:
            WriteFailed: The disk is full, or gone.
        """
        if not self._ordered:
            self._write(result)
        elif result.number == self._next:
            self._write(result)
            self._next += 1
            self._write_next()
        self._flush()

    @property
    def waiting(self) -> int:
        """How many answers wait in the journal for one that stands before them."""
        return self._journal.answered - self._next if self._ordered else 0

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(OSError):
            if self._path != STDOUT:
                self._file.close()

    def _write_next(self) -> None:
        while self._journal.has(self._next):
            self._write(self._journal.result(self._next))
            self._next += 1

    def _write(self, result: BatchResult) -> None:
        line = _one_line(result).encode() if self._text_only else dumped(result.line())
        try:
            self._file.write(line + b"\n")
        except OSError as error:
            raise self._failure(error) from error

    def _flush(self) -> None:
        try:
            self._file.flush()
        except OSError as error:
            raise self._failure(error) from error

    def _failure(self, error: OSError) -> WriteFailed:
        return WriteFailed(f"{self._path}: {error.strerror}")


def _one_line(result: BatchResult) -> str:
    if result.error is not None:
        status = "" if result.status is None else f" {result.status}"
        said = f"error{status}: {result.error}"
    else:
        said = result.text or ""
    escaped = said.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return escaped.encode("utf-8", "replace").decode()
