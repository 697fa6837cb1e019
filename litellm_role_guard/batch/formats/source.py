"""A file as rows, one at a time: JSON Lines, gzip, standard input, tables."""

from __future__ import annotations

import contextlib
import gzip
import sys
import zlib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import IO, Any, NamedTuple

from ..errors import BadInput
from .json_text import parsed
from .tables import csv_rows, parquet_rows

STDIN = "-"

_LINES = (".jsonl", ".ndjson")

_EMPTY = (b"", b"\xef\xbb\xbf")  # the second is a byte order mark


class Row(NamedTuple):
    """A row of a file.

    Attributes:
        line: Its line, or row of a table, counted from 1; None where it is the whole file.
        written: Its JSON text, as bytes, or its value.
    """

    line: int | None
    written: Any

    def value(self) -> Any:
        """Return its value.

        Raises:
            BadInput: It is no JSON.
        """
        return parsed(self.written, self.line) if isinstance(self.written, bytes) else self.written


def kind_of(path: str, forced: str | None) -> str:
    """Return how a file is cut into rows: `csv`, `parquet`, `text` or `json`."""
    if forced is not None:
        return forced if forced in ("csv", "parquet", "text") else "json"
    suffix = Path(path.removesuffix(".gz")).suffix.lower()
    return {".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".txt": "text"}.get(suffix, "json")


def rows(path: str, *, kind: str, column: str | None = None) -> Iterator[Row]:
    """Yield the rows of a file, without empty ones.

    A JSON file has one on each line if its name says so, or if its first line alone is JSON.

    Args:
        path: The path of the file; `.gz` is unpacked, `-` is the standard input.
        kind: As `kind_of` returns it.
        column: The column of a table that has the prompts.

    Raises:
        BadInput: The file cannot be read.
    """
    try:
        if kind == "parquet":
            for number, cells in enumerate(parquet_rows(path, column), 1):
                yield Row(number, cells)
            return
        with _opened(path) as file:
            if kind == "csv":
                for line, cells in csv_rows(file, column):
                    yield Row(line, cells)
            elif kind == "text":
                yield from _text_rows(file)
            else:
                yield from _json_rows(file, path)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise BadInput(f"cannot be unpacked: {error}") from error
    except OSError as error:
        raise BadInput(error.strerror or str(error)) from error


@contextlib.contextmanager
def _opened(path: str) -> Iterator[IO[bytes]]:
    if path == STDIN:
        yield sys.stdin.buffer
        return
    with gzip.open(path) if path.endswith(".gz") else open(path, "rb") as file:
        yield file  # type: ignore[misc]


def _text_rows(file: IO[bytes]) -> Iterator[Row]:
    for line, written in _lines(file):
        try:
            yield Row(line, written.decode("utf-8-sig").rstrip("\r\n"))
        except UnicodeDecodeError as error:
            raise BadInput("not UTF-8", line) from error


def _json_rows(file: IO[bytes], path: str) -> Iterator[Row]:
    lines = _lines(file)
    first = next(lines, None)
    if first is None:
        return
    if not path.removesuffix(".gz").endswith(_LINES):
        if not _is_json(first[1]):
            # One value over several lines; what was skipped above counts as lines, too.
            yield Row(None, b"\n" * (first[0] - 1) + first[1] + file.read())
            return
        second = next(lines, None)
        if second is None:
            yield Row(None, first[1])
            return
        lines = chain([second], lines)
    for line, written in chain([first], lines):
        yield Row(line, written)


def _lines(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    return ((at, line) for at, line in enumerate(file, 1) if line.strip() not in _EMPTY)


def _is_json(written: bytes) -> bool:
    try:
        parsed(written, None)
    except BadInput:
        return False
    return True
