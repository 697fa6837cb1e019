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
from ..config.settings import SettingsError
from ..observability.log import log_failure, logger
from .guarded_groups import GuardedGroups
from .litellm_internals import PROVIDER
from .profile_refresher import AT_ONCE
from .request import LiteLLMRequest
from .steering import NOT_STEERED

ROUTER_POLL_SECONDS = 0.02
"""How often to look whether the proxy has built its router, which it tells nobody."""


ROUTER_POLLS = 3000
"""How many such looks there are. A proxy without a `model_list` has no router until it gets one."""


PAUSE_SECONDS = 5.0
"""The pause between looks at deployments that could not be asked. How often each of these is tried
is up to its refresher."""


LONG_PAUSE_SECONDS = 30.0
"""The pause between looks for deployments that were added, where all others are known."""


MAX_SERVED = 32
"""How many models of a wildcard deployment are asked about, of those that its server lists."""


class Asked(NamedTuple):
    """How many deployments are known, of all that can be asked.

    A wildcard one counts for each model that its server lists, and once while it lists none.
    """

    known: int
    all: int


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

    async def ask_all(self) -> Asked:
        """Have everything learnt that is not known yet, as far as it is time to try."""
        slots = asyncio.Semaphore(AT_ONCE)

        async def ask(request: LiteLLMRequest) -> Asked:
            async with slots:
                try:
                    return await self._ask(request)
                except Exception as error:
                    log_failure(f"not warmed up deployment={request.deployment_name}", error)
                    return Asked(0, 1)

        asked = await asyncio.gather(*map(ask, self._requests()))
        return Asked(sum(each.known for each in asked), sum(each.all for each in asked))

    async def _ask(self, request: LiteLLMRequest) -> Asked:
        calls = await self._expanded(request)
        if calls is None:
            return Asked(0, 1)
        known = 0
        for call in calls:
            learner = self._groups.deployment(call, NOT_STEERED)[0].learner
            if learner is not None:
                await learner.learn_now(call.backend)
                known += learner.has_learnt
        return Asked(known, len(calls))

    async def _run(self) -> None:
        await self._router_is_there()
        since = time.monotonic()
        said: Asked | None = None
        while True:
            try:
                asked = await self.ask_all()
            except Exception as error:  # another version of LiteLLM
                log_failure("the deployments are asked at their first requests only", error)
                return
            # Once how many, and once that all are.
            if asked.all and asked != said and (said is None or asked.known == asked.all):
                said = asked
                logger.info(
                    "ready: %d of %d deployments known after %.0f ms",
                    asked.known,
                    asked.all,
                    (time.monotonic() - since) * 1000,
                )
            await asyncio.sleep(LONG_PAUSE_SECONDS if asked.known == asked.all else PAUSE_SECONDS)

    async def _router_is_there(self) -> None:
        for _ in range(ROUTER_POLLS):
            if self._router() is not None:
                return
            await asyncio.sleep(ROUTER_POLL_SECONDS)
        while self._router() is None:
            await asyncio.sleep(PAUSE_SECONDS)

    def _requests(self) -> Iterator[LiteLLMRequest]:
        """Yield the call that would be made to each guarded deployment, each once."""
        seen: set[tuple[str, str]] = set()
        # Whoever has an alias is listed under that name, too.
        for deployment in list(self._router().get_model_list() or ()):
            try:
                request = LiteLLMRequest.to_deployment(deployment, str(deployment["model_name"]))
                if request.key not in seen and self._groups.asks(request):
                    seen.add(request.key)
                    yield request
            except SettingsError as error:
                # What is wrong with it is said elsewhere (`StartReport`); the others are asked.
                logger.debug("not warmed up: %s", error)

    async def _expanded(self, request: LiteLLMRequest) -> list[LiteLLMRequest] | None:
        """Return the calls to the models of a wildcard deployment; a call to another as it is.

        Returns:
            None where the wildcard's server cannot be asked now.
        """
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
                return None
            matching = [name for name in served if fnmatchcase(name, pattern)]
            self._served[request.key] = matching[:MAX_SERVED]
            if len(matching) > MAX_SERVED:
                logger.info(
                    "asked at their first requests only: %d of %d models deployment=%s",
                    len(matching) - MAX_SERVED,
                    len(matching),
                    request.deployment_name,
                )
        return [
            LiteLLMRequest({**request.arguments, "model": f"{PROVIDER}/{name}"})
            for name in self._served[request.key]
        ]
