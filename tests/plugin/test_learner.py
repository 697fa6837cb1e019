"""A deployment's profile is learnt in the background, once, and costs nothing where that fails."""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import logging

import httpx
import pytest

from litellm_role_guard import ChatTemplate, TemplateProfile
from litellm_role_guard.backend.backend import Backend
from litellm_role_guard.observability.counts import Counts
from litellm_role_guard.plugin import profile_refresher as learner
from litellm_role_guard.plugin.profile_cache import ProfileCache
from litellm_role_guard.plugin.profile_files import ProfileFiles
from litellm_role_guard.plugin.profile_refresher import ProfileRefresher
from testing.clock import Clock
from testing.counting_vllm import LONG, Vllm
from testing.templates import TEMPLATES

STRICT = ChatTemplate.from_path(TEMPLATES / "alternating.jinja")
PLAIN = ChatTemplate.from_path(TEMPLATES / "plain.jinja")
USER = {"role": "user", "content": "hello"}


class Known:
    """What a learner has found so far, the oldest first."""

    def __init__(
        self, *, max_age: float = 3600.0, busy: set[ProfileRefresher] | None = None
    ) -> None:
        self.profiles: list[TemplateProfile] = []
        self.counts = Counts()
        self.clock = Clock()
        self.learner = ProfileRefresher(
            self.profiles.append,
            max_age=max_age,
            counts=self.counts,
            busy=set() if busy is None else busy,
            shared=ProfileCache(lambda: None, max_age),
            kept=ProfileFiles(None),
            clock=self.clock,
        )

    async def settled(self) -> None:
        """Wait until nothing is asked any more, and all is kept."""
        while self.learner._is_asking():
            await asyncio.sleep(0.01)
        await kept(self.learner)


async def kept(learner: ProfileRefresher) -> None:
    """Wait until what was learnt is kept."""
    if learner._keeping is not None:
        await learner._keeping


async def hang(request: httpx.Request) -> None:
    """Never answer."""
    await asyncio.sleep(3600)


async def test_the_first_request_waits_for_the_true_profile() -> None:
    """What the backend takes is known when the first wait is over."""
    vllm, known = Vllm(STRICT), Known()
    assert not known.learner.has_learnt
    await known.learner.ready(vllm.backend, LONG)
    assert known.profiles == [TemplateProfile.learn(STRICT)]
    assert known.learner.has_learnt
    assert known.counts["learnt"] == 1


async def test_fifty_first_requests_are_one_learning() -> None:
    """However many want to know, a conversation is put to the backend once."""
    vllm, alone = Vllm(STRICT), Vllm(STRICT)
    one = Known()
    await one.learner.ready(alone.backend, LONG)
    await one.settled()
    known = Known()
    await asyncio.gather(*(known.learner.ready(vllm.backend, LONG) for _ in range(50)))
    await known.settled()
    assert len(known.profiles) == 1
    assert vllm.asked == alone.asked


async def test_a_request_that_may_not_wait_does_not() -> None:
    """The answer comes in the background."""
    vllm, known = Vllm(STRICT), Known()
    await known.learner.ready(vllm.backend, 0)
    assert known.profiles == []
    await known.settled()
    assert len(known.profiles) == 1


@pytest.mark.usefixtures("skipped_waits")
async def test_a_backend_that_hangs_holds_no_request_longer_than_the_budget() -> None:
    """Later requests do not wait anew for what began long ago."""
    vllm, known = Vllm(STRICT), Known()
    vllm.fail = hang
    loop = asyncio.get_running_loop()
    since = loop.time()
    for _ in range(20):
        await known.learner.ready(vllm.backend, 0.2)
    assert loop.time() - since == pytest.approx(0.2)  # one budget, not twenty
    assert vllm.asked.total() == 1
    known.learner.stop()


async def test_a_failure_is_told_once_and_counted_each_time(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One line a cause, however often it is tried; the next success ends it."""
    monkeypatch.setattr(learner, "BACK_OFF_SECONDS", 0.0)
    vllm, known = Vllm(STRICT), Known()
    statuses = [503, 503, 404]
    with caplog.at_level(logging.INFO, "litellm_role_guard"):
        for status in statuses:

            async def fail(request: httpx.Request, status: int = status) -> int:
                return status

            vllm.fail = fail
            await known.learner.ready(vllm.backend, 0)
            await known.settled()
        vllm.fail = None
        await known.learner.ready(vllm.backend, 0)
        await known.settled()
    told = [record.getMessage() for record in caplog.records]
    assert [line.split(" deployment=")[0] for line in told[:2]] == [
        "not learnt: http://vllm: answered /v1/models with 503",
        "not learnt: http://vllm: has no /v1/models; is it a vLLM?",
    ]
    assert len(told) == 3
    assert told[2].startswith("learnt in ")
    assert all(line.endswith(" deployment=d1") for line in told)
    assert (known.counts["learning_failed"], known.counts["learnt"]) == (3, 1)


async def test_a_model_that_is_not_served_is_nobodys_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The names of a wildcard's models are made up by clients, each of them a deployment."""
    vllm, known = Vllm(STRICT), Known()

    def backend() -> Backend:
        return dataclasses.replace(vllm.backend(), model="made-up")

    with caplog.at_level(logging.DEBUG, "litellm_role_guard"):
        await known.learner.ready(backend, LONG)
    (record,) = caplog.records
    assert record.levelno == logging.DEBUG
    assert "no model 'made-up'" in record.getMessage()
    assert known.counts["learning_failed"] == 1


async def test_a_backend_that_failed_is_left_in_peace_for_a_while() -> None:
    """Not every request tries again, and none waits."""
    vllm, known = Vllm(STRICT), Known()

    async def fail(request: httpx.Request) -> int:
        return 500

    vllm.fail = fail
    for _ in range(10):
        await known.learner.ready(vllm.backend, LONG)
    assert vllm.asked.total() == 1
    assert known.profiles == []


async def test_an_error_of_its_own_is_logged_without_its_words(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It ends the learning and nothing else."""
    vllm, known, words = Vllm(STRICT), Known(), "some words"

    async def broken(request: httpx.Request) -> None:
        raise KeyError(words)

    vllm.fail = broken
    await known.learner.ready(vllm.backend, LONG)
    assert "role guard failed to learn deployment=d1" in caplog.text
    assert words not in caplog.text
    assert known.counts["learning_failed"] == 1


async def test_without_an_address_nothing_is_asked() -> None:
    """Then the cautious profile is all there is."""
    known = Known()
    await known.learner.ready(lambda: None, LONG)
    assert known.profiles == []


async def test_a_refusal_of_what_was_learnt_has_the_backend_asked_again() -> None:
    """Another template at the same address is found out."""
    vllm, known = Vllm(PLAIN), Known()
    await known.learner.ready(vllm.backend, LONG)
    vllm.serve(STRICT)
    known.clock.put_forward()
    known.learner.on_refusal(vllm.backend)
    await known.settled()
    assert known.profiles == [TemplateProfile.learn(PLAIN), TemplateProfile.learn(STRICT)]


@pytest.mark.usefixtures("skipped_waits")
async def test_a_refusal_that_comes_too_soon_is_not_forgotten() -> None:
    """The backend is asked again at the first request after the time of peace."""
    vllm, known = Vllm(PLAIN), Known()
    await known.learner.ready(vllm.backend, LONG)
    vllm.serve(STRICT)
    known.learner.on_refusal(vllm.backend)
    await known.settled()
    assert len(known.profiles) == 1
    await asyncio.sleep(learner.COOLDOWN_SECONDS)
    await known.learner.ready(vllm.backend, 0)
    await known.settled()
    assert known.profiles[1:] == [TemplateProfile.learn(STRICT)]


async def test_the_task_has_nothing_of_the_request_that_started_it() -> None:
    """What a request carries in its context, its trace, say, ends with it."""
    traced: contextvars.ContextVar[str] = contextvars.ContextVar("traced")
    seen: list[str | None] = []
    vllm, known = Vllm(STRICT), Known()

    async def look(request: httpx.Request) -> None:
        seen.append(traced.get(None))

    vllm.fail = look
    traced.set("a request")
    await known.learner.ready(vllm.backend, LONG)
    assert set(seen) == {None}


async def test_a_backend_that_was_never_learnt_is_not_asked_about_words() -> None:
    """It has no `/tokenize`, most likely."""
    vllm, known = Vllm(PLAIN), Known()
    await known.learner.confirm_refusal(vllm.backend, [USER], None, "Speak, friend.", LONG)
    assert vllm.asked.total() == 0


async def test_refusals_in_vain_have_the_backend_asked_ever_less_often() -> None:
    """A template that refuses for reasons of its own teaches nothing, and is not asked each time;
    what it said is installed again, over all lessons that it does not bear out."""
    vllm, known = Vllm(STRICT), Known()
    await known.learner.ready(vllm.backend, LONG)
    asked = vllm.asked["/v1/models"]
    known.clock.put_forward()
    for _ in range(20):
        known.learner.on_refusal(vllm.backend)
        await known.settled()
    assert vllm.asked["/v1/models"] == asked + 1
    assert known.profiles == [TemplateProfile.learn(STRICT)] * 2


async def test_a_refusal_amid_the_learning_has_it_done_once_more() -> None:
    """Some of the answers may be those of the template before."""
    vllm, known = Vllm(PLAIN), Known()
    await known.learner.ready(vllm.backend, LONG)
    known.clock.put_forward()
    replaced = False

    async def replace(request: httpx.Request) -> None:
        nonlocal replaced
        if not replaced and request.url.path == "/detokenize":
            replaced = True
            vllm.serve(STRICT)
            known.learner.on_refusal(vllm.backend)

    vllm.fail = replace
    known.learner.on_refusal(vllm.backend)
    await known.settled()
    assert known.profiles[1:] == [TemplateProfile.learn(STRICT)]


@pytest.mark.usefixtures("skipped_waits")
async def test_an_old_profile_is_learnt_again_without_holding_anybody() -> None:
    """After its age, in the background."""
    vllm, known = Vllm(PLAIN), Known(max_age=0.01)
    await known.learner.ready(vllm.backend, LONG)
    vllm.serve(STRICT)
    await asyncio.sleep(0.02)
    await known.learner.ready(vllm.backend, LONG)
    assert len(known.profiles) == 1
    await known.settled()
    assert known.profiles[1:] == [TemplateProfile.learn(STRICT)]


async def test_an_old_profile_of_a_shown_template_is_not_learnt_again() -> None:
    """Version, model and template tell that nothing has changed."""
    text = (TEMPLATES / "alternating.jinja").read_text()
    vllm, known = Vllm(STRICT, shows=text), Known(max_age=0.01)
    await known.learner.ready(vllm.backend, LONG)
    asked = vllm.asked["/tokenize"]
    await asyncio.sleep(0.02)
    await known.learner.ready(vllm.backend, LONG)
    await known.settled()
    assert vllm.asked["/v1/models"] == 2
    assert vllm.asked["/tokenize"] == asked
    assert known.profiles == [TemplateProfile.learn(STRICT)] * 2  # the second over all lessons


def test_a_loop_that_ends_takes_nothing_with_it() -> None:
    """What one loop left unfinished the next one does; nothing of the first is waited for."""
    vllm, known = Vllm(STRICT), Known()
    vllm.fail = hang
    asyncio.run(known.learner.ready(vllm.backend, 0.05))
    assert known.profiles == []
    vllm.fail = None
    asyncio.run(known.learner.ready(vllm.backend, LONG))
    assert known.profiles == [TemplateProfile.learn(STRICT)]


async def test_the_task_of_another_loop_is_not_waited_for() -> None:
    """Two loops in two threads may ask the same deployment."""
    vllm, known = Vllm(STRICT), Known()
    vllm.fail = hang
    await known.learner.ready(vllm.backend, 0)
    first = known.learner._task

    def elsewhere() -> None:
        asyncio.run(known.learner.ready(vllm.backend, LONG))

    await asyncio.wait_for(asyncio.to_thread(elsewhere), LONG / 2)
    assert first is not None
    assert not first.done()
    assert known.learner._task is first
    assert known.profiles == []
    known.learner.stop()


async def test_a_forgotten_deployment_asks_no_more() -> None:
    """Its task is cancelled, and its place is free for another."""
    vllm, busy = Vllm(STRICT), set[ProfileRefresher]()
    known = Known(busy=busy)
    vllm.fail = hang
    await known.learner.ready(vllm.backend, 0)
    task = known.learner._task
    assert task is not None
    known.learner.stop()
    await asyncio.wait({task}, timeout=5)
    assert task.cancelled()
    assert busy == set()


async def test_only_so_many_backends_are_asked_at_once() -> None:
    """The rest is asked when one of its later requests finds a place."""
    vllm, busy = Vllm(STRICT), set[ProfileRefresher]()
    vllm.fail = hang
    known = [Known(busy=busy) for _ in range(learner.AT_ONCE + 3)]
    for each in known:
        await each.learner.ready(vllm.backend, 0)
    assert len(busy) == learner.AT_ONCE
    for each in known:
        each.learner.stop()
    vllm.fail = None
    await known[-1].learner.ready(vllm.backend, LONG)
    assert len(known[-1].profiles) == 1


async def test_unknown_words_of_the_template_are_a_reason_to_ask_again() -> None:
    """Where `/tokenize` refuses the conversation with the same words."""
    vllm, known = Vllm(PLAIN), Known()
    await known.learner.ready(vllm.backend, LONG)
    vllm.serve(
        ChatTemplate("{{ raise_exception('Speak, friend.') if messages[1:] }}{{ messages }}")
    )
    run = [USER, USER]
    ask = known.learner.confirm_refusal
    known.clock.put_forward()
    await ask(vllm.backend, run, None, "Something else.", LONG)
    assert len(known.profiles) == 1
    await ask(vllm.backend, [USER], None, "Speak, friend.", LONG)
    assert len(known.profiles) == 1
    await ask(vllm.backend, run, None, "Speak, friend.", LONG)
    assert len(known.profiles) == 2


@pytest.mark.usefixtures("skipped_waits")
async def test_who_cannot_wait_does_not_ask_about_words() -> None:
    """The budget holds for the whole of it."""
    vllm, known = Vllm(PLAIN), Known()
    await known.learner.ready(vllm.backend, LONG)
    known.clock.put_forward()
    vllm.fail = hang
    asked = known.learner.confirm_refusal(vllm.backend, [USER], None, "Speak, friend.", 0.05)
    await asyncio.wait_for(asked, 5)
    assert len(known.profiles) == 1
