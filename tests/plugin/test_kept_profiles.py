"""What was known before a restart is known at once; a kept file is never just believed."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import pytest

from litellm_role_guard import ChatTemplate, TemplateProfile
from litellm_role_guard.backend.backend import Backend
from litellm_role_guard.observability.counts import Counts
from litellm_role_guard.plugin import profile_refresher
from litellm_role_guard.plugin.profile_cache import ProfileCache
from litellm_role_guard.plugin.profile_files import ProfileFiles
from litellm_role_guard.plugin.profile_refresher import (
    AT_ONCE,
    SETTLED_SECONDS,
    ProfileRefresher,
)
from litellm_role_guard.probing.telling import TELLING
from testing.clock import Clock
from testing.counting_vllm import LONG, Vllm
from testing.learnt import learnt
from testing.templates import TEMPLATES

STRICT, STRICT_PROFILE = learnt(TEMPLATES / "alternating.jinja")
PLAIN, PLAIN_PROFILE = learnt(TEMPLATES / "plain.jinja")
SYSTEM_FIRST, SYSTEM_FIRST_PROFILE = learnt(TEMPLATES / "system_first.jinja")
HOUR = 3600.0


class Proxy:
    """What a proxy's process knows of one backend."""

    def __init__(self, folder: Path | None, busy: set[ProfileRefresher] | None = None) -> None:
        self.profiles: list[TemplateProfile] = []
        self.counts = Counts()
        self.clock = Clock()
        self.refresher = ProfileRefresher(
            self.profiles.append,
            max_age=HOUR,
            counts=self.counts,
            busy=set() if busy is None else busy,
            shared=ProfileCache(lambda: None, HOUR),
            kept=ProfileFiles(folder),
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


async def hang(request: httpx.Request) -> None:
    """Never answer."""
    await asyncio.Event().wait()


def the_file(folder: Path) -> Path:
    """Return the one file that is kept."""
    (path,) = folder.iterdir()
    return path


@pytest.mark.parametrize("template", ["alternating", "no_system"])
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


@pytest.mark.parametrize(("then", "now"), [(PLAIN, STRICT), (PLAIN, SYSTEM_FIRST)])
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


async def test_what_was_kept_is_used_for_no_request_before_it_is_confirmed(
    tmp_path: Path,
) -> None:
    """A backend that hangs, or that cannot be asked, is guarded as one that nobody knows."""
    vllm = Vllm(PLAIN)
    await Proxy(tmp_path).learn(vllm)

    async def fail(request: httpx.Request) -> int:
        return 500

    for fault in (hang, fail):
        vllm.fail = fault
        proxy = Proxy(tmp_path)
        await proxy.refresher.ready(vllm.backend, 0.01)
        assert proxy.profiles == []
        proxy.refresher.stop()


async def test_what_is_asked_at_the_start_takes_no_requests_place() -> None:
    """A request's backend is asked at once, whoever else is slow to answer."""
    busy: set[ProfileRefresher] = set()
    hung = Vllm(STRICT)
    hung.fail = hang
    others = [Proxy(None, busy) for _ in range(AT_ONCE)]
    asked = [asyncio.create_task(other.refresher.learn_now(hung.backend)) for other in others]
    while not hung.asked:
        await asyncio.sleep(0)
    proxy = Proxy(None, busy)
    await proxy.refresher.ready(Vllm(PLAIN).backend, LONG)
    assert proxy.profiles == [PLAIN_PROFILE]
    for task, other in zip(asked, others, strict=True):
        other.refresher.stop()
        await task


async def test_a_request_waits_longer_where_only_a_confirmation_is_to_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy machine takes its time for a handful of questions, too."""
    monkeypatch.setattr(profile_refresher, "CONFIRMING", 1e6)
    vllm = Vllm(PLAIN)
    await Proxy(tmp_path).learn(vllm)
    may_answer = asyncio.Event()

    async def wait(request: httpx.Request) -> None:
        await may_answer.wait()

    vllm.fail = wait
    unknown, known = Proxy(None), Proxy(tmp_path)
    waiting = asyncio.create_task(known.refresher.ready(vllm.backend, 0.01))
    await unknown.refresher.ready(vllm.backend, 0.02)
    assert unknown.profiles == []
    assert not waiting.done()
    may_answer.set()
    await waiting
    assert known.profiles == [PLAIN_PROFILE]
    unknown.refresher.stop()


async def test_no_request_waits_for_the_learning_behind_a_failed_confirmation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That takes ten times as many questions."""
    monkeypatch.setattr(profile_refresher, "CONFIRMING", 1e6)
    vllm = Vllm(PLAIN)
    await Proxy(tmp_path).learn(vllm)
    vllm.serve(STRICT)
    proxy = Proxy(tmp_path)

    async def hang_when_learning(request: httpx.Request) -> None:
        if proxy.refresher._confirming is None:
            await hang(request)

    vllm.fail = hang_when_learning
    await proxy.refresher.ready(vllm.backend, 0.01)
    assert proxy.profiles == []
    assert proxy.refresher._is_asking()
    proxy.refresher.stop()


async def test_a_backend_that_changes_amid_the_learning_is_not_known_again(tmp_path: Path) -> None:
    """What it is known by must be of the template that was learnt."""
    vllm = Vllm(STRICT)
    proxy = Proxy(tmp_path)
    await proxy.refresher.learn_now(vllm.backend)
    vllm.serve(PLAIN)
    await proxy.finished()
    assert json.loads(the_file(tmp_path).read_text())["known"]["fingerprint"] is None
    again = Proxy(tmp_path)
    await again.learn(vllm)
    assert again.profiles == [PLAIN_PROFILE]


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


async def test_a_folder_that_cannot_be_written_to_costs_no_more_than_a_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Profiles are learnt all the same."""
    (tmp_path / "file").write_text("")
    proxy = Proxy(tmp_path / "file" / "folder")
    await proxy.learn(Vllm(STRICT))
    assert proxy.profiles == [STRICT_PROFILE]
    assert len([each for each in caplog.records if "not kept" in each.getMessage()]) == 1


async def test_a_kept_profile_that_cannot_be_read_at_all_is_learnt_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong there, nobody's request hears of it."""

    async def get(self: ProfileFiles, backend: Backend) -> None:
        raise RuntimeError

    monkeypatch.setattr(ProfileFiles, "get", get)
    proxy = Proxy(tmp_path)
    await proxy.refresher.ready(Vllm(STRICT).backend, LONG)
    assert proxy.profiles == [STRICT_PROFILE]
