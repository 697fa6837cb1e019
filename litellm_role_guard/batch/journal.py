"""The journal of a run: what was answered, on the disk as soon as it is known.

A file of lines that only grows. The first one says what is asked:

    role-guard-journal 1 {"input": "prompts.jsonl", "sha256": "...", "settings": {...}}

and each other one has an answer, with the CRC-32 of what follows:

    5b0e0c1f {"number": 17, "digest": 81985529216486895, "tries": 1, ...}

Killed at any byte, the file has a torn last line at most, and that is cut off when it is opened
again. A line that is damaged otherwise counts as not there. Of two answers to one request, which
`--retry-failed` asks for, the later one counts.
"""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .errors import BadOutput, WriteFailed
from .sending.request import BatchResult

MAGIC = b"role-guard-journal 1 "

_NONE = -1


class Journal:
    """What was answered so far, kept in a file.

    Memory: 16 bytes for each request of the input.

    Args:
        path: The path of the file; it is made where there is none.
        header: What is asked: the input's name and digest, the settings.

    Attributes:
        answered: How many requests have an answer, or a final error.
        damaged: How many damaged lines were left out.

    Raises:
        BadOutput: The file is no journal, is another run's, or cannot be opened.
    """

    def __init__(self, path: Path, header: Mapping[str, Any]) -> None:
        self.path = path
        self.answered = 0
        self.damaged = 0
        self._offsets = array("q")
        self._digests = array("q")
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise BadOutput(f"{path}: {error.strerror}") from error
        self._reader = os.fdopen(os.dup(self._file), "rb")
        try:
            _lock(self._file, path)
            self._size = self._read(header)
        except BaseException:
            self.close()  # both, or the lock is still held
            raise

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever answered."""
        return self._size == self._start

    def close(self) -> None:
        """Close the file; what it has stays."""
        self._reader.close()
        os.close(self._file)

    def has(self, number: int) -> bool:
        """Return whether a request has an answer, or a final error."""
        return number < len(self._offsets) and self._offsets[number] != _NONE

    def digest(self, number: int) -> int:
        """Return the digest of an answered request."""
        return self._digests[number]

    def append(self, result: BatchResult) -> None:
        """Write a result down.

        Raises:
            WriteFailed: The disk is full, or gone. The file is as it was before.
        """
        entry = json.dumps(_entry(result), ensure_ascii=False, separators=(",", ":")).encode()
        offset = self._size
        self._write(b"%08x %b\n" % (zlib.crc32(entry), entry))
        self._note(result.number, offset, result.digest)

    def result(self, number: int) -> BatchResult:
        """Return the result of a request that has one."""
        self._reader.seek(self._offsets[number])
        entry = _checked(self._reader.readline())
        assert entry is not None  # it was read or written by this object
        return _result(entry)

    def results(self) -> Iterator[BatchResult]:
        """Yield the results that count, in the order in which they came."""
        offset = self._start
        while offset < self._size:
            self._reader.seek(offset)
            line = self._reader.readline()
            entry = _checked(line)
            if entry is not None and self._offsets[entry["number"]] == offset:
                yield _result(entry)
            offset += len(line)

    def forget(self, number: int) -> None:
        """Count a request as not answered, so that it is asked again."""
        self._offsets[number] = _NONE
        self.answered -= 1

    def sync(self) -> None:
        """Have the file's content on the disk itself, for a power failure."""
        try:
            os.fsync(self._file)
        except OSError as error:
            raise WriteFailed(f"{self.path}: {error.strerror}") from error

    def _note(self, number: int, offset: int, digest: int) -> None:
        missing = number + 1 - len(self._offsets)
        if missing > 0:
            self._offsets.extend([_NONE] * missing)
            self._digests.extend([0] * missing)
        self.answered += self._offsets[number] == _NONE
        self._offsets[number], self._digests[number] = offset, digest

    def _read(self, header: Mapping[str, Any]) -> int:
        """Read the file, or begin it; return its size without a torn last line."""
        first = self._reader.readline()
        is_ours = first.startswith(MAGIC) or MAGIC.startswith(first)
        if is_ours and not self._reader.read(1):  # empty, or without a single answer
            os.ftruncate(self._file, 0)
            self._size = 0
            self._write(MAGIC + json.dumps(header, ensure_ascii=False).encode() + b"\n")
            self._start = self._size
            return self._size
        self._reader.seek(len(first))
        self._check_header(first, header)
        self._start = offset = len(first)
        for line in self._reader:
            if not line.endswith(b"\n"):
                break
            entry = _checked(line)
            if entry is None:
                self.damaged += 1
            else:
                self._note(entry["number"], offset, entry["digest"])
            offset += len(line)
        os.ftruncate(self._file, offset)
        return offset

    def _check_header(self, first: bytes, header: Mapping[str, Any]) -> None:
        try:
            if not first.startswith(MAGIC):
                raise ValueError
            begun = json.loads(first[len(MAGIC) :])
            same = {name: begun[name] == header[name] for name in ("sha256", "settings")}
        except (ValueError, KeyError, TypeError) as error:
            raise BadOutput(f"{self.path}: is no journal of role-guard") from error
        if not same["sha256"]:
            # A name says what happened; the digest alone, that something did.
            moved = begun.get("input") != header.get("input")
            was = (
                f"belongs to {begun.get('input')}" if moved else f"{begun.get('input')} has changed"
            )
            raise BadOutput(f"{self.path}: {was}; take another OUT, or --overwrite")
        if not same["settings"]:
            now, then = header["settings"], begun["settings"]
            names = sorted(name for name in {*now, *then} if now.get(name) != then.get(name))
            raise BadOutput(
                f"{self.path}: was begun with another {', '.join(names)}; "
                "take the same, another OUT, or --overwrite"
            )

    def _write(self, data: bytes) -> None:
        try:
            written = 0
            while written < len(data):
                written += os.pwrite(self._file, data[written:], self._size + written)
        except OSError as error:
            with contextlib.suppress(OSError):  # a torn line is cut off later, too
                os.ftruncate(self._file, self._size)
            raise WriteFailed(f"{self.path}: {error.strerror}") from error
        self._size += len(data)


def _lock(file: int, path: Path) -> None:
    try:
        import fcntl
    except ImportError:  # not on Windows
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise BadOutput(f"{path}: another run is writing it") from error


def _entry(result: BatchResult) -> dict[str, Any]:
    return {
        "number": result.number,
        "digest": result.digest,
        "custom_id": result.custom_id,
        "status": result.status,
        "error": result.error,
        "request_id": result.request_id,
        "tries": result.tries,
        "changes": dict(result.changes),
        "body": result.body,
    }


def _result(entry: dict[str, Any]) -> BatchResult:
    return BatchResult(**{**entry, "changes": Counter(entry["changes"])})


def _checked(line: bytes) -> dict[str, Any] | None:
    """Return the entry of a line; None where it is damaged."""
    told, space, written = line.rstrip(b"\n").partition(b" ")
    try:
        if not space or int(told, 16) != zlib.crc32(written):
            return None
        entry: dict[str, Any] = json.loads(written)
    except ValueError:
        return None
    return entry
