"""A look through the whole input before anything is sent: what is bad is found in time."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

from .asking import Asking, requests_of
from .errors import BadInput
from .formats.reader import InputFile

_CHUNK_BYTES = 2**20

_MODELS_KEPT = 100


@dataclass(frozen=True)
class Inspection:
    """What an input holds.

    Attributes:
        count: How many requests.
        sha256: The digest of the file, in hex.
        models: The models that are asked, the first ones of very many.
        ignored: The names of fields that are not sent.
    """

    count: int
    sha256: str
    models: frozenset[str]
    ignored: frozenset[str]


def inspect(
    file: InputFile, asking: Asking, on_row: Callable[[int], None] = lambda count: None
) -> Inspection:
    """Return what a file holds, having looked at each row, in memory that does not grow with it.

    Args:
        file: The file; not the standard input, which can be read only once.
        asking: How its rows are asked.
        on_row: Takes the number of rows so far.

    Raises:
        BadInput: The file, or a row, cannot be asked, or two have the same `custom_id`.
    """
    models: set[str] = set()
    ignored: set[str] = set()
    count = 0
    # An unnamed database is in memory while it is small, and in a temporary file once it is not.
    with contextlib.closing(sqlite3.connect("")) as seen:
        seen.execute("CREATE TABLE ids (id TEXT PRIMARY KEY, row INTEGER) WITHOUT ROWID")
        for request in requests_of(file, asking, ignored=ignored):
            count += 1
            try:
                seen.execute("INSERT INTO ids VALUES (?, ?)", (request.custom_id, count))
            except sqlite3.IntegrityError as error:
                found = seen.execute("SELECT row FROM ids WHERE id = ?", (request.custom_id,))
                (row,) = found.fetchone()
                shown = request.custom_id[:64]
                reason = f"requests {row} and {count} have the same custom_id {shown!r}"
                raise BadInput(reason, name=file.name) from error
            if len(models) < _MODELS_KEPT:
                models.add(request.body["model"])
            on_row(count)
    return Inspection(count, _sha256(file), frozenset(models), frozenset(ignored))


def _sha256(file: InputFile) -> str:
    digest = hashlib.sha256()
    try:
        with open(file.path, "rb") as opened:
            while chunk := opened.read(_CHUNK_BYTES):
                digest.update(chunk)
    except OSError as error:
        raise BadInput(error.strerror or str(error), name=file.name) from error
    return digest.hexdigest()
