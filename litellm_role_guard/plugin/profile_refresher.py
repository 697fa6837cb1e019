"""Keeps a deployment's profile up to date, by asking its backend in the background.

A deployment has one refresher, which asks at most once at a time, however many requests wait. The
deployment takes a new profile; a failure costs a line in the log, and the old profile holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..backend.backend import LIMIT_SECONDS, Backend
from ..backend.errors import LearningFailed, ModelNotServed
from ..backend.identity import BackendIdentity, read_identity
from ..backend.prompts import refusal_of
from ..messages.message import Message
from ..observability.counts import Counts
from ..observability.log import log_failure, logger
from ..observability.metrics import OFF, DeploymentMetrics
from ..probing.live import LONGEST_SECONDS, learn_from_backend
from ..profile.template_profile import TemplateProfile
from . import kept_profile
from .kept_profile import confirmed, kept_of, with_fingerprint
from .profile_cache import CachedProfile, ProfileCache
from .profile_files import ProfileFiles

BACK_OFF_SECONDS = 5.0
"""Pause after learning failed; it doubles with each failure."""


LONGEST_BACK_OFF_SECONDS = 60.0
"""A vLLM may take many minutes to load its model, and is to be known before its first request."""


LONGEST_COOLDOWN_SECONDS = 600.0
"""The longest pause after refusals in vain, at whose end nothing new is expected."""


COOLDOWN_SECONDS = 1.0
"""Cooldown between relearns: several backends may take turns at one address."""


AT_ONCE = 8
"""How many backends are asked at the same time. The names of a wildcard's models are made up by
clients, so that there may be any number of deployments that nobody has asked yet."""


SETTLED_SECONDS = 60.0
"""For how long at least a kept profile is used that the backend has borne out. One that is older
than `learn_max_age` is then learnt anew, when the rush of a restart is over."""


CONFIRMING = 10.0
"""How many times as long a request may wait where its backend was known before a restart. It has
only to be confirmed, which takes a fraction of a second unless the machine is very busy."""


_ROUNDS = 2

# Ends a task of a loop that nobody runs any more.
_IDENTITY_SECONDS = 3 * LIMIT_SECONDS  # of three requests, two at once

_TASK_SECONDS = (_IDENTITY_SECONDS + LONGEST_SECONDS + kept_profile.LONGEST_SECONDS) * _ROUNDS

_ABANDONED_SECONDS = _TASK_SECONDS + 10


class ProfileRefresher:
    """Learns a backend's profile: at first use, when it is old, and when a refusal contradicts it.

    Args:
        install: Takes a profile that was learnt, or that was found to hold still.
        max_age: After how many seconds to ask again.
        counts: Where `learnt` and `learning_failed` are counted.
        metrics: Where each asking is observed.
        busy: The learners that are asking, shared by all.
        shared: What other proxies have learnt.
        kept: What was known before a restart.
        clock: Returns the time in seconds, which never goes back.
    """

    def __init__(
        self,
        install: Callable[[TemplateProfile], None],
        *,
        max_age: float,
        counts: Counts,
        metrics: DeploymentMetrics = OFF,
        busy: set[ProfileRefresher],
        shared: ProfileCache,
        kept: ProfileFiles,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._kept = kept
        self._install = install
        self._max_age = max_age
        self._counts = counts
        self._metrics = metrics
        self._busy = busy
        self._shared = shared
        self._task: asyncio.Task[None] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._confirming: asyncio.Future[None] | None = None  # where something was kept
        self._started = 0.0
        self._waited_since: float | None = None  # the first request, for what is being asked
        self._due = 0.0
        self._cooldown_until = 0.0  # until when a refusal is no reason to ask
        self._doubted = False
        self._failures = self._unchanged_relearns = self._refusals = 0
        self._last_error: str | None = None
        self._known: CachedProfile | None = None

    @property
    def has_learnt(self) -> bool:
        """Whether the deployment's profile was learnt from the backend."""
        return self._known is not None

    @property
    def learnt_at(self) -> float | None:
        """When its backend told what holds now, in seconds since the epoch; None for never."""
        return None if self._known is None else self._known.learnt_at

    async def ready(self, backend: Callable[[], Backend | None], wait: float) -> None:
        """Ask where that is due, and wait for the first answer.

        Args:
            backend: Tells whom to ask; None where that is not known.
            wait: For how many seconds at most, counted from when the first request waits;
                `CONFIRMING` times as long where it was known before a restart.
        """
        is_due = not self._is_asking() and self._clock() >= self._due
        if is_due and len(self._asking()) < AT_ONCE:
            self._start(backend)
        # Whoever waited in vain once does not hold up requests again.
        if self._known is None and not self._failures and wait > 0 and self._is_asking():
            if self._waited_since is None:
                self._waited_since = self._clock()
            await self._wait(self._waited_since + wait - self._clock())
            if self._known is None and self._confirming is not None:
                left = self._waited_since + CONFIRMING * wait - self._clock()
                await self._wait(left, self._confirming)

    async def learn_now(self, backend: Callable[[], Backend | None]) -> None:
        """Ask where nothing is known and that is due, and wait for the end of it.

        However many others are being asked, and without taking the place of one whom a request
        wants to know: the caller is the one to bound their number.

        Args:
            backend: Tells whom to ask; None where that is not known.
        """
        if not self._is_asking() and self._known is None and self._clock() >= self._due:
            self._start(backend)
            self._busy.discard(self)
        if self._is_asking():
            await self._wait(_ABANDONED_SECONDS)

    def on_refusal(self, backend: Callable[[], Backend | None]) -> None:
        """Handle a refusal of what the profile says is taken: another model may be there now."""
        if self._known is None:
            return
        self._refusals += 1
        self._doubted = True
        self._due = min(self._due, self._cooldown_until)
        if self._clock() < self._cooldown_until or len(self._asking()) >= AT_ONCE:
            return
        if not self._is_asking():
            self._start(backend)

    async def confirm_refusal(
        self,
        backend: Callable[[], Backend | None],
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] | None,
        words: str,
        wait: float,
    ) -> None:
        """Wait for what the backend says now, if a refusal was its template's.

        Args:
            backend: Tells whom to ask.
            messages: What was refused.
            tools: The tool definitions that went with it.
            words: The words of the refusal.
            wait: For how many seconds at most.
        """
        until = self._clock() + wait
        if not self._is_asking():
            if self._known is None or self._clock() < self._cooldown_until:
                return
            if wait <= 0:
                self.on_refusal(backend)
                return
            with contextlib.suppress(asyncio.TimeoutError):
                if await asyncio.wait_for(
                    _is_template_refusal(backend(), messages, tools, words), wait
                ):
                    self.on_refusal(backend)
        await self._wait(until - self._clock())

    def stop(self) -> None:
        """Ask no more: the deployment was forgotten."""
        tasks = self._task, self._keeping
        self._task = self._keeping = None
        self._busy.discard(self)
        for task in tasks:
            if task is not None and not task.done():
                with contextlib.suppress(RuntimeError):  # its loop is closed
                    task.get_loop().call_soon_threadsafe(task.cancel)

    def _is_asking(self) -> bool:
        task = self._task
        if task is None or task.done() or task.get_loop().is_closed():
            return False
        return self._clock() < self._started + _ABANDONED_SECONDS

    async def _wait(self, seconds: float, until: asyncio.Future[None] | None = None) -> None:
        end = self._task if until is None else until
        # A task of another event loop cannot be waited for.
        if end is not None and seconds > 0 and end.get_loop() is asyncio.get_running_loop():
            await asyncio.wait({end}, timeout=seconds)

    def _asking(self) -> set[ProfileRefresher]:
        for other in [other for other in self._busy if not other._is_asking()]:
            self._busy.discard(other)
        return self._busy

    def _start(self, backend: Callable[[], Backend | None]) -> None:
        try:
            whom = backend()
        except Exception as error:  # another version of LiteLLM
            log_failure("role guard cannot tell how a backend is asked", error)
            self._failed(None, None)
            return
        if whom is None:
            return
        self._started, self._waited_since = self._clock(), None
        self._busy.add(self)
        # In a context of its own: what the request has in its is not the learner's.
        start = asyncio.get_running_loop().create_task
        self._task = contextvars.Context().run(start, self._run(whom))

    async def _run(self, backend: Backend) -> None:
        to_keep = None
        try:
            async with backend.reusing_connections() as connected:
                # A backend that sends its answer byte by byte never runs into a time limit of its.
                to_keep = await asyncio.wait_for(self._ask(connected), _TASK_SECONDS)
        except asyncio.TimeoutError:
            self._failed(backend, "its answers have no end")
        except ModelNotServed as failure:
            # Any client can make up names for a wildcard, and the backend's own 404 answers them.
            self._failed(backend, str(failure), logging.DEBUG)
        except LearningFailed as failure:
            self._failed(backend, str(failure))
        except Exception as error:
            log_failure(f"role guard failed to learn deployment={backend.name}", error)
            self._failed(backend, None)
        finally:
            self._busy.discard(self)
            self._confirming_ends()
        if to_keep is not None:
            # Nobody waits for it.
            self._keeping = asyncio.get_running_loop().create_task(self._keep(backend, *to_keep))

    async def _keep(self, backend: Backend, known: CachedProfile, is_own: bool) -> None:
        """Write down what was learnt, for other proxies and for after a restart."""
        try:
            if is_own:
                known = await with_fingerprint(backend, known)
                await self._shared.put(backend.url, backend.model, backend.fields, known)
            await self._kept.put(backend, known)
        except Exception as error:
            log_failure(f"role guard failed to keep a profile deployment={backend.name}", error)

    async def _ask(self, backend: Backend) -> tuple[CachedProfile, bool] | None:
        """Ask; return what is to be kept, and whether this proxy has learnt it itself."""
        rounds = _ROUNDS
        found = await kept_of(self._kept, backend) if self._known is None else None
        if found is not None:
            self._confirming = asyncio.get_running_loop().create_future()
        while True:
            rounds -= 1
            refusals = self._refusals
            identity = await asyncio.wait_for(
                read_identity(backend, seconds=LIMIT_SECONDS), _IDENTITY_SECONDS
            )
            if not self._doubted and self._known is not None and self._is_known(identity):
                self._install(self._known.profile)
                self._failures, self._last_error = 0, None
                self._due = self._clock() + self._max_age
                self._metrics.has_profile("backend", time.time())
                return None
            known = None if self._doubted else await self._shared_profile(backend, identity)
            if known is None and found is not None:
                kept, found = await confirmed(found, backend, identity), None
                if kept is not None:
                    self._learnt(backend, kept, self._refusals, "known again")
                    self._metrics.has_profile("backend", time.time())
                    self._due = max(self._due, self._clock() + SETTLED_SECONDS)
                    return None
            self._confirming_ends()
            own = known is None
            if known is None:
                profile = await learn_from_backend(backend, seconds=LIMIT_SECONDS)
                known = CachedProfile(profile=profile, identity=identity, learnt_at=time.time())
            # A refusal in between may have come after some of the answers.
            if self._refusals == refusals or not rounds:
                self._learnt(backend, known, refusals)
                self._metrics.has_profile("backend" if own else "shared", known.learnt_at)
                return known, own

    def _confirming_ends(self) -> None:
        if self._confirming is not None and not self._confirming.done():
            self._confirming.set_result(None)
        self._confirming = None

    async def _shared_profile(
        self, backend: Backend, identity: BackendIdentity
    ) -> CachedProfile | None:
        """Return what another proxy has learnt of late, or None."""
        known = await self._shared.get(backend.url, backend.model, backend.fields, identity)
        if known is None or known.age > self._max_age or self._is_older(known):
            return None
        return known

    def _is_known(self, identity: BackendIdentity) -> bool:
        # A server that does not show its template may serve another one than before.
        known = self._known
        return known is not None and identity.template is not None and identity == known.identity

    def _is_older(self, known: CachedProfile) -> bool:
        return self._known is not None and known.learnt_at <= self._known.learnt_at

    def _learnt(
        self, backend: Backend, known: CachedProfile, refusals: int, how: str = "learnt"
    ) -> None:
        now = self._clock()
        in_vain = self._known is not None and known.profile == self._known.profile
        self._due = now + self._max_age - known.age
        self._unchanged_relearns = self._unchanged_relearns + 1 if in_vain and self._doubted else 0
        pause = _back_off(self._unchanged_relearns, LONGEST_COOLDOWN_SECONDS)
        self._cooldown_until = now + (pause or COOLDOWN_SECONDS)
        self._doubted = self._refusals != refusals
        if self._doubted:
            self._due = self._cooldown_until
        self._failures, self._last_error = 0, None
        self._known = known
        self._counts.add(how.replace(" ", "_"))
        # Also where it says what it said before: what refusals taught since, it does not bear out.
        self._install(known.profile)
        seconds = now - self._started
        self._metrics.learnt(seconds, "learnt")
        logger.info("%s in %.0f ms deployment=%s", how, seconds * 1000, backend.name)

    def _failed(
        self, backend: Backend | None, reason: str | None, level: int = logging.WARNING
    ) -> None:
        self._failures += 1
        self._due = self._cooldown_until = self._clock() + _back_off(self._failures)
        self._counts.add("learning_failed")
        if backend is not None:
            self._metrics.learnt(self._clock() - self._started, "failed")
        if backend is not None and reason is not None and reason != self._last_error:
            self._last_error = reason
            logger.log(level, "not learnt: %s deployment=%s", reason, backend.name)


def _back_off(times: int, longest: float = LONGEST_BACK_OFF_SECONDS) -> float:
    if times == 0:
        return 0.0
    return min(BACK_OFF_SECONDS * 2.0 ** min(times - 1, 20), longest)


async def _is_template_refusal(
    backend: Backend | None,
    messages: Sequence[Message],
    tools: Sequence[Mapping[str, Any]] | None,
    words: str,
) -> bool:
    """Return whether a refusal is the template's own, by asking for it without an answer."""
    if backend is None:
        return False
    try:
        said = await refusal_of(backend, messages, tools=tools)
    except LearningFailed:
        return False
    return said is not None and said.strip() == words.strip()
