"""What was known before a restart is known at once; a kept file is never just believed."""

from __future__ import annotations

import json
import os
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from litellm_role_guard import ChatTemplate, TemplateProfile
from litellm_role_guard.backend.backend import Backend
from litellm_role_guard.backend.identity import BackendIdentity
from litellm_role_guard.observability.counts import Counts
from litellm_role_guard.plugin import profile_files
from litellm_role_guard.plugin.kept_profile import KeptProfile
from litellm_role_guard.plugin.profile_cache import MAX_CHARS, CachedProfile, ProfileCache
from litellm_role_guard.plugin.profile_files import ProfileFiles, default_folder
from litellm_role_guard.plugin.profile_refresher import SETTLED_SECONDS, ProfileRefresher
from litellm_role_guard.probing.telling import TELLING
from testing.clock import Clock
from testing.counting_vllm import LONG, Vllm
from testing.learnt import learnt
from testing.templates import TEMPLATES

STRICT, STRICT_PROFILE = learnt(TEMPLATES / "alternating.jinja")
PLAIN, PLAIN_PROFILE = learnt(TEMPLATES / "plain.jinja")
SYSTEM_FIRST, SYSTEM_FIRST_PROFILE = learnt(TEMPLATES / "system_first.jinja")
HOUR = 3600.0
BACKEND = Backend("d", "http://vllm/v1", "m")


class Proxy:
    """What a proxy's process knows of one backend."""

    def __init__(self, folder: Path | None) -> None:
        self.profiles: list[TemplateProfile] = []
        self.counts = Counts()
        self.clock = Clock()
        self.refresher = ProfileRefresher(
            self.profiles.append,
            max_age=HOUR,
            counts=self.counts,
            busy=set(),
            shared=ProfileCache(lambda: None, HOUR),
            kept=KeptProfile(
                ProfileFiles(folder), self.profiles.append, TemplateProfile.cautious()
            ),
            clock=self.clock,
        )

    async def learn(self, vllm: Vllm) -> None:
        """Learn what there is to learn, to the end."""
        await self.refresher.learn_now(vllm.backend)
        await self.finished()

    async def finished(self) -> None:
        """Wait until nothing is asked or written any more."""
        for task in (self.refresher._task, self.refresher._keeping):
            if task is not None:
                await task


def the_file(folder: Path) -> Path:
    """Return the one file that is kept."""
    (path,) = folder.iterdir()
    return path


def known(**fields: Any) -> CachedProfile:
    """Return what may have been learnt."""
    identity = BackendIdentity("0.32.0", "m", None)
    told = {"profile": STRICT_PROFILE, "identity": identity, "learnt_at": time.time()}
    return CachedProfile(**{**told, **fields})


@pytest.mark.parametrize("template", ["alternating", "plain", "system_first", "no_system"])
@pytest.mark.parametrize("is_shown", [True, False])
async def test_a_restart_asks_no_more_than_a_handful(
    tmp_path: Path, template: str, is_shown: bool
) -> None:
    """The very profile is there again, for the hash of the template or for what it does."""
    path = TEMPLATES / f"{template}.jinja"
    vllm = Vllm(learnt(path)[0], shows=path.read_text() if is_shown else None)
    before, after = Proxy(tmp_path), Proxy(tmp_path)
    await before.learn(vllm)
    vllm.asked.clear()
    await after.learn(vllm)
    assert after.profiles == before.profiles == [learnt(path)[1]]
    assert (after.counts["learnt"], after.counts["known_again"]) == (0, 1)
    assert vllm.asked["/tokenize"] <= (0 if is_shown else len(TELLING) + 2)
    assert vllm.asked["/detokenize"] <= 1


@pytest.mark.parametrize(("then", "now"), [(PLAIN, STRICT), (STRICT, PLAIN), (PLAIN, SYSTEM_FIRST)])
async def test_another_template_is_found_out_before_the_old_profile_is_used(
    tmp_path: Path, then: ChatTemplate, now: ChatTemplate
) -> None:
    """It is learnt anew, and kept in the place of the old one."""
    vllm = Vllm(then)
    await Proxy(tmp_path).learn(vllm)
    vllm.serve(now)
    for counts in ({"learnt": 1, "known_again": 0}, {"learnt": 0, "known_again": 1}):
        proxy = Proxy(tmp_path)
        await proxy.learn(vllm)
        assert proxy.profiles == [TemplateProfile.learn(now)]
        assert {name: proxy.counts[name] for name in counts} == counts


async def test_a_request_that_cannot_wait_longer_is_repaired_by_what_was_kept(
    tmp_path: Path,
) -> None:
    """In a busy process even a handful takes long; the default is the worse guess."""
    vllm = Vllm(PLAIN)
    await Proxy(tmp_path).learn(vllm)
    proxy = Proxy(tmp_path)
    await proxy.refresher.ready(vllm.backend, 0)
    assert proxy.profiles == [PLAIN_PROFILE]
    assert not proxy.refresher.has_learnt
    vllm.serve(STRICT)
    await proxy.refresher.learn_now(vllm.backend)
    assert proxy.profiles == [PLAIN_PROFILE, TemplateProfile.cautious(), STRICT_PROFILE]


async def test_what_cannot_be_confirmed_is_used_no_longer(tmp_path: Path) -> None:
    """A backend that can no more be asked is guarded as one that never could."""
    vllm = Vllm(PLAIN)
    await Proxy(tmp_path).learn(vllm)

    async def fail(request: httpx.Request) -> int:
        return 500

    vllm.fail = fail
    proxy = Proxy(tmp_path)
    await proxy.refresher.ready(vllm.backend, 0)
    await proxy.refresher.learn_now(vllm.backend)
    assert proxy.profiles == [PLAIN_PROFILE, TemplateProfile.cautious()]
    await proxy.refresher.ready(vllm.backend, 0)
    assert len(proxy.profiles) == 2


async def test_a_profile_that_lies_is_not_believed(tmp_path: Path) -> None:
    """In form it is one, its fingerprint is right, and the backend does otherwise."""
    vllm = Vllm(STRICT)
    await Proxy(tmp_path).learn(vllm)
    path = the_file(tmp_path)
    entry = json.loads(path.read_text())
    entry["known"]["profile"] = PLAIN_PROFILE.model_dump(mode="json")
    path.write_text(json.dumps(entry))
    proxy = Proxy(tmp_path)
    await proxy.learn(vllm)
    assert proxy.profiles == [STRICT_PROFILE]
    assert proxy.counts["learnt"] == 1


async def test_an_old_profile_is_used_at_once_and_learnt_anew_later(tmp_path: Path) -> None:
    """Not amid the rush of a restart, and without holding anybody."""
    vllm = Vllm(STRICT)
    await Proxy(tmp_path).learn(vllm)
    path = the_file(tmp_path)
    entry = json.loads(path.read_text())
    entry["known"]["learnt_at"] -= 48 * HOUR
    path.write_text(json.dumps(entry))
    proxy = Proxy(tmp_path)
    await proxy.learn(vllm)
    await proxy.refresher.ready(vllm.backend, LONG)
    assert proxy.counts["learnt"] == 0
    proxy.clock.put_forward(SETTLED_SECONDS)
    await proxy.refresher.ready(vllm.backend, LONG)
    await proxy.finished()
    assert proxy.counts["learnt"] == 1


async def test_nothing_is_written_where_nothing_is_to_be_kept(tmp_path: Path) -> None:
    """`profile_cache: off` leaves no file, and each restart learns."""
    vllm = Vllm(STRICT)
    for _ in range(2):
        proxy = Proxy(None)
        await proxy.learn(vllm)
        assert proxy.counts["learnt"] == 1
    assert list(tmp_path.iterdir()) == []


async def test_an_entry_is_given_back_as_it_was_kept_to_its_own_backend_alone(
    tmp_path: Path,
) -> None:
    """Address, model and template variables tell backends apart."""
    files = ProfileFiles(tmp_path / "new" / "folder")
    kept = known()
    await files.put(BACKEND, kept)
    assert files.get(Backend("other name", "http://vllm/v1/", "m")) == kept
    for other in (
        Backend("d", "http://vllm:1/v1", "m"),
        Backend("d", "http://vllm/v1", "n"),
        Backend("d", "http://vllm/v1", "m", fields={"chat_template_kwargs": {"a": 1}}),
    ):
        assert files.get(other) is None


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
        assert files.get(BACKEND) is None
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"ignored the kept profile {tmp_path}")
    assert not any(word in line for word in ("king", "heaven", "perhaps", "\n"))
    caplog.clear()
    await files.put(BACKEND, known())
    again = files.get(BACKEND)
    assert (again is not None) is (name != "a folder")


async def test_a_file_of_another_release_is_no_fault(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upgrade finds the files of the release before; they are learnt anew without a warning."""
    with monkeypatch.context() as patched:
        patched.setattr(profile_files, "VERSION", "another")
        await ProfileFiles(tmp_path).put(BACKEND, known())
    assert ProfileFiles(tmp_path).get(BACKEND) is None
    poisoned(fields_of="tomorrow")(the_file(tmp_path))
    assert ProfileFiles(tmp_path).get(BACKEND) is None
    assert caplog.records == []


async def test_a_folder_that_cannot_be_written_to_is_reported_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Profiles are learnt all the same."""
    (tmp_path / "file").write_text("")
    vllm, proxy = Vllm(STRICT), Proxy(tmp_path / "file" / "folder")
    await proxy.learn(vllm)
    await proxy.refresher._kept.keep(BACKEND, known())
    assert proxy.profiles == [STRICT_PROFILE]
    told = [record.getMessage() for record in caplog.records if "not kept" in record.getMessage()]
    assert len(told) == 1


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
    assert files.get(backend) is not None
    assert files.get(Backend("d", "http://gpu-0/v1", "m")) is None


def test_the_default_is_in_the_users_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the base directory specification has it: a relative folder counts for none."""
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_folder() == Path("/somewhere/litellm-role-guard")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/me")
    assert default_folder() == Path("/home/me/.cache/litellm-role-guard")
