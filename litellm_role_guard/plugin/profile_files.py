"""Profiles that are kept across restarts, one small file a backend.

A file is written whole beside its place and moved there, so that a reader finds the old one or the
new one, however many workers write. What is found is no more than a claim: it has to be this user's
own file, name nothing that no profile has, and be borne out by the backend before it is used.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import stat
import tempfile
import time
from itertools import takewhile
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from ..backend.backend import Backend
from ..observability.log import logger
from ..profile.template_profile import TemplateProfile
from .profile_cache import MAX_CHARS, SKEW_SECONDS, VERSION, CachedProfile

FOLDER = "litellm-role-guard"
"""The folder's name within the user's cache folder."""


MAX_FILES = 4096
"""How many backends are remembered, those learnt last."""


_SUFFIX = ".profile.json"

_ABANDONED_SECONDS = 3600.0  # after which a half-written file is nobody's any more

_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


class _Entry(BaseModel):
    """What stands in a file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: str
    backend: str
    known: CachedProfile


class ProfileFiles:
    """The profiles that a folder holds.

    Args:
        folder: Where they are; None for nowhere.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._reported: set[str] = set()

    async def get(self, backend: Backend) -> CachedProfile | None:
        """Return what was known of a backend, or None; nothing of it is proven.

        Args:
            backend: The vLLM: its address, the served model, what goes with every conversation.
        """
        if self._folder is None:
            return None
        # Beside the event loop: the folder may be on a network.
        return await asyncio.to_thread(self._read, self._folder, _key(backend))

    async def put(self, backend: Backend, known: CachedProfile) -> None:
        """Keep what is known of a backend; a folder that cannot be written to costs a log line."""
        if self._folder is not None:
            await asyncio.to_thread(self._write, self._folder, _key(backend), known)

    def _read(self, folder: Path, key: str) -> CachedProfile | None:
        path = folder / (key + _SUFFIX)
        try:
            return _known_in(path, key)
        except FileNotFoundError:
            return None
        except (_ForeignFileError, OSError) as error:
            self._report(f"ignored the kept profile {path}: {error}")
            return None

    def _write(self, folder: Path, key: str, known: CachedProfile) -> None:
        path = folder / (key + _SUFFIX)
        text = _Entry(version=VERSION, backend=key, known=known).model_dump_json()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # For this user alone, whatever the umask is.
            handle, name = tempfile.mkstemp(prefix=".", suffix=_SUFFIX, dir=folder)
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    file.write(text)
                os.replace(name, path)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(name)
                raise
            _prune(folder)
        except OSError as error:
            self._report(f"profiles are not kept in {folder}: {error.strerror or error}")

    def _report(self, line: str) -> None:
        # Once: the next try is made at each learning, and most have the same fault.
        if line not in self._reported:
            self._reported.add(line)
            logger.warning("%s", line)


class _ForeignFileError(Exception):
    """A file that somebody else may have written, or no file at all."""


def default_folder() -> Path | None:
    """Return the folder in the user's cache folder; None for a user without a home."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(given):
        return Path(given) / FOLDER
    try:
        return Path.home() / ".cache" / FOLDER
    except RuntimeError:
        return None


def _known_in(path: Path, key: str) -> CachedProfile | None:
    """Return what a file says; None where another release of this package has written it.

    Raises:
        _ForeignFileError: It is not to be believed.
        OSError: It cannot be read.
    """
    text = _own_text(path)
    try:
        entry = _Entry.model_validate_json(text)
    except ValidationError as error:
        if _version_in(text) not in (None, VERSION):
            return None
        raise _ForeignFileError(f"it is no profile{_place(error)}") from None
    if entry.version != VERSION:
        return None
    if entry.backend != key:
        raise _ForeignFileError("it is another backend's")
    if entry.known.learnt_at > time.time() + SKEW_SECONDS:
        raise _ForeignFileError("it is of the future")
    return entry.known


def _own_text(path: Path) -> str:
    """Return the text of a file of this user's own.

    Raises:
        _ForeignFileError: It is a link, no file, too long, or others may write it.
        OSError: It cannot be read.
    """
    # A link may lead anywhere, and to open a pipe may take for ever.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    handle = os.open(path, flags)
    try:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode):
            raise _ForeignFileError("it is no file")
        if hasattr(os, "geteuid") and (
            about.st_uid != os.geteuid() or about.st_mode & _OTHERS_MAY_WRITE
        ):
            raise _ForeignFileError("other users may have written it")
        with os.fdopen(handle, "rb", closefd=False) as file:
            read = file.read(MAX_CHARS + 1)
    finally:
        os.close(handle)
    if len(read) > MAX_CHARS:
        raise _ForeignFileError("it is too long")
    return read.decode(errors="replace")


def _place(error: ValidationError) -> str:
    """Return where the first fault is, as far as that has a name of ours."""
    known = {*_Entry.model_fields, *CachedProfile.model_fields, *TemplateProfile.model_fields}
    named = takewhile(known.__contains__, error.errors(include_input=False)[0]["loc"])
    path = ".".join(map(str, named))
    return f" (see {path})" if path else ""


def _version_in(text: str) -> str | None:
    try:
        version = json.loads(text).get("version")
    except (ValueError, AttributeError, RecursionError):
        return None
    return version if isinstance(version, str) else None


def _key(backend: Backend) -> str:
    # A hash, since the address may hold a password.
    told = [backend.url.rstrip("/"), backend.model, backend.fields]
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()


def _prune(folder: Path) -> None:
    """Remove the oldest files beyond `MAX_FILES`, and what a killed process left half-written."""
    with os.scandir(folder) as entries:
        mine = [entry for entry in entries if entry.name.endswith(_SUFFIX)]
    kept: list[tuple[float, str]] = []
    for entry in mine:
        with contextlib.suppress(FileNotFoundError):  # another worker was here before
            written = entry.stat(follow_symlinks=False).st_mtime
            if not entry.name.startswith("."):
                kept.append((written, entry.path))
            elif written < time.time() - _ABANDONED_SECONDS:
                os.unlink(entry.path)
    for _, path in sorted(kept)[: max(0, len(kept) - MAX_FILES)]:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
