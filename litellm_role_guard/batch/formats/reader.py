"""A file as rows of one kind, and a row as what it asks for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from ..errors import BadInput
from .line_formats import LINE_FORMATS, MESSAGES, STRING, LineFormat, format_of
from .request import LineRequest
from .source import STDIN, Row, kind_of, rows

FORMATS = (*LINE_FORMATS, "text", "csv", "parquet")
"""What `--format` can be."""

_ROWS_TRIED = 100


@dataclass(frozen=True)
class InputFile:
    """A file of conversations.

    Attributes:
        path: Its path; `-` for the standard input.
        format_name: One of `FORMATS`; None to find it out by the name and the first row.
        column: The column of a table that has the prompts; None to find it by its name.
    """

    path: str
    format_name: str | None = None
    column: str | None = None

    @property
    def name(self) -> str:
        """What errors call it."""
        return "stdin" if self.is_stdin else self.path

    @property
    def is_stdin(self) -> bool:
        """Whether it can be read only once."""
        return self.path == STDIN

    def open(self) -> tuple[LineFormat, Iterator[Row]]:
        """Return the kind of its rows, and the rows.

        Raises:
            BadInput: It cannot be read, or is empty; the rows raise it, too.
        """
        kind = kind_of(self.path, self.format_name)
        found = rows(self.path, kind=kind, column=self.column)
        seen: list[Row] = []
        line_format: LineFormat | None = None
        try:
            for row in found:
                seen.append(row)
                line_format = self._format_of(kind, row)
                if line_format is not None or len(seen) == _ROWS_TRIED:
                    break
        except BadInput as error:
            raise error.within(self.name) from error
        if not seen:
            raise BadInput("empty", name=self.name)
        return line_format or MESSAGES, self._named(chain(seen, found))

    def _format_of(self, kind: str, row: Row) -> LineFormat | None:
        if self.format_name in LINE_FORMATS:
            return LINE_FORMATS[self.format_name]
        if kind == "text":
            return STRING
        try:
            return format_of(row.value())
        except BadInput:
            return None  # the next row may tell; this one is reported when it is read

    def _named(self, found: Iterator[Row]) -> Iterator[Row]:
        try:
            yield from found
        except BadInput as error:
            raise error.within(self.name) from error


def asked_by(row: Row, line_format: LineFormat) -> LineRequest:
    """Return what a row asks for.

    Raises:
        BadInput: It is no row of this kind.
    """
    try:
        value = row.value()
        if not line_format.fits(value):
            raise BadInput(f"must be {line_format.what}")
        return line_format.read(value)
    except BadInput as error:
        raise error.at(row.line) from error
