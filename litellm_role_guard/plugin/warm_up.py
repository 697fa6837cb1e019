"""Asks all deployments what they take as soon as the proxy runs, before anybody's request does."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from ..backend.errors import LearningFailed
from ..backend.identity import served_models
from ..observability.log import log_failure, logger
from .guarded_groups import GuardedGroups
from .litellm_internals import PROVIDER
from .profile_refresher import AT_ONCE, ProfileRefresher
from .request import LiteLLMRequest
from .steering import NOT_STEERED

ROUTER_POLL_SECONDS = 0.02
"""How often to look whether the proxy has built its router, which it tells nobody."""


PAUSE_SECONDS = 5.0
"""The pause between looks at the router's list: for deployments that were added, and for those that
could not be asked. How often each of these is tried is up to its refresher."""


MAX_SERVED = 32
"""How many models of a wildcard deployment are asked about, of those that its server lists."""


class _Target(NamedTuple):
    request: LiteLLMRequest
    refresher: ProfileRefresher


class WarmUp:
    """Has every guarded deployment of the router learnt, a bounded number at a time.

    Args:
        groups: Knows which deployments are guarded.
        router: Returns the proxy's router; None before there is one.
    """

    def __init__(self, groups: GuardedGroups, router: Callable[[], Any]) -> None:
        self._groups = groups
        self._router = router
        self._task: asyncio.Task[None] | None = None
        self._served: dict[tuple[str, str], list[str]] = {}  # the models of each wildcard

    def start(self) -> None:
        """Start in the background, where an event loop runs: that of a proxy that starts."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        self._task = contextvars.Context().run(loop.create_task, self._run())

    async def ask_all(self) -> None:
        """Have everything learnt that is not known yet, as far as it is time to try."""
        slots = asyncio.Semaphore(AT_ONCE)

        async def ask(request: LiteLLMRequest) -> None:
            async with slots:
                try:
                    for each in await self._expanded(request):
                        target = self._target(each)
                        if target is not None:
                            await target.refresher.learn_now(target.request.backend)
                except Exception as error:
                    log_failure(f"not warmed up deployment={request.deployment_name}", error)

        await asyncio.gather(*map(ask, self._requests()))

    async def _run(self) -> None:
        while self._router() is None:
            await asyncio.sleep(ROUTER_POLL_SECONDS)
        since = time.monotonic()
        is_first = True
        while True:
            try:
                await self.ask_all()
                if is_first:
                    self._report(time.monotonic() - since)
            except Exception as error:  # another version of LiteLLM
                log_failure("the deployments are asked at their first requests only", error)
                return
            is_first = False
            await asyncio.sleep(PAUSE_SECONDS)

    def _report(self, seconds: float) -> None:
        """Write one line on how ready the proxy is."""
        refreshers = [
            target.refresher for each in self._requests() if (target := self._target(each))
        ]
        known = sum(refresher.has_learnt for refresher in refreshers)
        if refreshers:
            logger.info(
                "ready: %d of %d deployments known after %.0f ms",
                known,
                len(refreshers),
                seconds * 1000,
            )

    def _requests(self) -> Iterator[LiteLLMRequest]:
        """Yield the call that would be made to each guarded deployment, each once."""
        seen: set[tuple[str, str]] = set()
        # Whoever has an alias is listed under that name, too.
        for deployment in list(self._router().get_model_list() or ()):
            request = LiteLLMRequest.to_deployment(deployment, str(deployment["model_name"]))
            if request.key not in seen and request.may_ask_backend and self._groups.guards(request):
                seen.add(request.key)
                yield request

    def _target(self, request: LiteLLMRequest) -> _Target | None:
        if "*" in request.key[1]:
            return None
        deployment, settings = self._groups.deployment(request, NOT_STEERED)
        if deployment.learner is None or settings.mode == "off":
            return None
        return _Target(request, deployment.learner)

    async def _expanded(self, request: LiteLLMRequest) -> list[LiteLLMRequest]:
        """Return the calls to the models of a wildcard deployment; a call to another as it is."""
        _, pattern = request.key
        if "*" not in pattern:
            return [request]
        if request.key not in self._served:
            backend = request.backend()
            if backend is None:
                return []
            try:
                served = await served_models(backend)
            except LearningFailed:
                return []  # until the next look
            matching = [name for name in served if fnmatchcase(name, pattern)]
            self._served[request.key] = matching[:MAX_SERVED]
        return [
            LiteLLMRequest({**request.arguments, "model": f"{PROVIDER}/{name}"})
            for name in self._served[request.key]
        ]
