"""Profiles in files: whole or not at all, this user's alone, and never just believed."""

from __future__ import annotations

import json
import os
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from litellm_role_guard.backend.backend import Backend
from litellm_role_guard.backend.identity import BackendIdentity
from litellm_role_guard.config.settings import SettingsError
from litellm_role_guard.plugin import profile_files
from litellm_role_guard.plugin.guard import RoleGuard
from litellm_role_guard.plugin.profile_cache import MAX_CHARS, CachedProfile
from litellm_role_guard.plugin.profile_files import ProfileFiles, default_folder
from testing.learnt import learnt
from testing.templates import TEMPLATES

PROFILE = learnt(TEMPLATES / "alternating.jinja")[1]
HOUR = 3600.0
BACKEND = Backend("d", "http://vllm/v1", "m")


def the_file(folder: Path) -> Path:
    """Return the one file that is kept."""
    (path,) = folder.iterdir()
    return path


def known(**fields: Any) -> CachedProfile:
    """Return what may have been learnt."""
    identity = BackendIdentity("0.32.0", "m", None)
    told = {"profile": PROFILE, "identity": identity, "learnt_at": time.time()}
    return CachedProfile(**{**told, **fields})


async def test_an_entry_is_given_back_as_it_was_kept_to_its_own_backend_alone(
    tmp_path: Path,
) -> None:
    """Address, model and template variables tell backends apart."""
    files = ProfileFiles(tmp_path / "new" / "folder")
    kept = known()
    await files.put(BACKEND, kept)
    assert await files.get(Backend("other name", "http://vllm/v1/", "m")) == kept
    for other in (
        Backend("d", "http://vllm:1/v1", "m"),
        Backend("d", "http://vllm/v1", "n"),
        Backend("d", "http://vllm/v1", "m", fields={"chat_template_kwargs": {"a": 1}}),
    ):
        assert await files.get(other) is None


async def test_a_file_is_for_this_user_alone(tmp_path: Path) -> None:
    """Nobody else reads or writes it, nor the folder that is made for it."""
    folder = tmp_path / "cache"
    before = os.umask(0)
    try:
        await ProfileFiles(folder).put(BACKEND, known())
    finally:
        os.umask(before)
    assert stat.S_IMODE(the_file(folder).stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def poisoned(**fields: Any) -> Any:
    """Return how to write an entry with some other fields of what is known."""

    def change(path: Path) -> None:
        entry = json.loads(path.read_text())
        entry["known"].update(fields)
        path.write_text(json.dumps(entry))

    return change


def _linked(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _of_another(path: Path) -> None:
    entry = json.loads(path.read_text())
    path.write_text(json.dumps({**entry, "backend": "0" * 64}))


HOSTILE = {
    "empty": lambda path: path.write_text(""),
    "cut off": lambda path: path.write_text(path.read_text()[:-30]),
    "binary": lambda path: path.write_bytes(os.urandom(3000)),
    "deep": lambda path: path.write_text("[" * 50_000),
    "long": lambda path: path.write_text(path.read_text() + " " * MAX_CHARS),
    "list": lambda path: path.write_text("[1]"),
    "more": poisoned(more=1),
    "unknown state": poisoned(profile={"follows": {"usr": {"user": "accepted"}}}),
    "unknown next state": poisoned(profile={"ignored_empty": {"user": {"system": "heaven"}}}),
    "unknown answer": poisoned(profile={"ends": {"user": "perhaps"}}),
    "unknown run": poisoned(profile={"with_tools": {"leading_system": {"king": "accepted"}}}),
    "of the future": poisoned(learnt_at=time.time() + 10 * HOUR),
    "no number": poisoned(learnt_at=float("nan")),
    "another backend's": _of_another,
    "a link": _linked,
    "a folder": _folder,
    "a pipe": _pipe,
    "others' to write": lambda path: path.chmod(0o666),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_corrupt_foreign_or_hostile_file_is_ignored_reported_and_replaced(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, by its path and what is wrong, and with nothing of what stands in it."""
    files = ProfileFiles(tmp_path)
    await files.put(BACKEND, known())
    HOSTILE[name](the_file(tmp_path))
    for _ in range(2):
        assert await files.get(BACKEND) is None
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"ignored the kept profile {tmp_path}")
    assert not any(word in line for word in ("king", "heaven", "perhaps", "\n"))
    caplog.clear()
    await files.put(BACKEND, known())
    again = await files.get(BACKEND)
    assert (again is not None) is (name != "a folder")


async def test_a_file_of_another_release_is_no_fault(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upgrade finds the files of the release before; they are learnt anew without a warning."""
    with monkeypatch.context() as patched:
        patched.setattr(profile_files, "VERSION", "another")
        await ProfileFiles(tmp_path).put(BACKEND, known())
    assert await ProfileFiles(tmp_path).get(BACKEND) is None
    poisoned(fields_of="tomorrow")(the_file(tmp_path))
    assert await ProfileFiles(tmp_path).get(BACKEND) is None
    assert caplog.records == []


def test_a_reader_beside_many_writers_finds_a_whole_entry(tmp_path: Path) -> None:
    """Several workers write at once, and nothing half-written is ever seen or left."""
    kept = [known(learnt_at=float(1 + number)) for number in range(8)]

    def work(number: int) -> bool:
        files = ProfileFiles(tmp_path)
        found = True
        for _ in range(20):
            files._write(tmp_path, "0" * 64, kept[number])
            found &= files._read(tmp_path, "0" * 64) in kept
        return found

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))
    assert len(list(tmp_path.iterdir())) == 1


async def test_the_oldest_files_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder does not grow for ever, whatever was served at however many addresses."""
    monkeypatch.setattr(profile_files, "MAX_FILES", 3)
    files = ProfileFiles(tmp_path)
    for number in range(5):
        backend = Backend("d", f"http://gpu-{number}/v1", "m")
        await files.put(backend, known())
        for path in tmp_path.iterdir():
            os.utime(path, ns=(0, path.stat().st_mtime_ns - 10**9))
    assert len(list(tmp_path.iterdir())) == 3
    assert await files.get(backend) is not None
    assert await files.get(Backend("d", "http://gpu-0/v1", "m")) is None


def test_the_default_is_in_the_users_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the base directory specification has it: a relative folder counts for none."""
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_folder() == Path("/somewhere/litellm-role-guard")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/me")
    assert default_folder() == Path("/home/me/.cache/litellm-role-guard")


async def test_a_file_holds_no_address_and_no_key(tmp_path: Path) -> None:
    """An address may hold a password; which backend it is, a hash says."""
    backend = Backend("d", "http://me:hunter2@gpu.internal/v1", "m", headers={"X-Key": "sk-secret"})
    await ProfileFiles(tmp_path).put(backend, known())
    path = the_file(tmp_path)
    text = path.name + path.read_text()
    assert not any(word in text for word in ("hunter2", "gpu.internal", "sk-secret", "X-Key"))


async def test_a_folder_that_cannot_be_written_to_is_reported_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each learning tries again, and most have the same fault."""
    (tmp_path / "file").write_text("")
    files = ProfileFiles(tmp_path / "file" / "folder")
    for _ in range(2):
        await files.put(BACKEND, known())
    (line,) = [each.getMessage() for each in caplog.records]
    assert line == f"profiles are not kept in {tmp_path}/file/folder: Not a directory"


@pytest.mark.parametrize("off", ["off", False])
def test_nothing_is_kept_with_the_setting_off(off: object) -> None:
    """YAML reads a bare `off` as false."""
    assert RoleGuard(profile_cache=off)._deployments._files._folder is None


def test_a_folder_of_nobody_stops_the_start() -> None:
    """The key's name is in the error."""
    with pytest.raises(SettingsError, match=r"profile_cache: ~nobody-here/x: "):
        RoleGuard(profile_cache="~nobody-here/x")
