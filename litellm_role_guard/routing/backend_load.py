"""The load of the backends, so that several proxies together keep to the bound of each.

A proxy counts its own requests, which is exact, and sees none of another's. A vLLM counts all of
them in `/metrics` (`vllm:num_requests_running` and `vllm:num_requests_waiting`, vLLM
`v1/metrics/loggers.py`). What it has beyond this proxy's own is the others'. That is asked in the
background while there is traffic, and where it cannot be had, each proxy's own count must do.
"""

from __future__ import annotations

import asyncio
import contextvars
import math
import random
import re
import time
from collections.abc import Callable

import httpx

from ..backend.answer import AnswerTooLong, read_answer
from ..backend.backend import Backend
from ..backend.server import headers_with, root_of
from ..observability.log import log_failure, logger
from .in_flight import InFlight

INTERVAL_SECONDS = 2.0
"""How often a backend is asked, about: each proxy worker asks by itself."""


TIMEOUT_SECONDS = 2.0
"""How long an answer may take in all; an older one tells nothing of the load now."""


MAX_BYTES = 2**20
"""How long an answer may be. A vLLM's is some 100 kB; to read this much takes milliseconds."""


LINGER_SECONDS = 10.0
"""For how long a backend is asked on after the last request that it could have got."""


LONGEST_PAUSE_SECONDS = 300.0
"""How long a backend is left in peace that does not tell; it begins with twice the interval."""


MAX_BACKENDS = 4096
"""How many backends are remembered."""


# No label goes past its line: each line would else be read to the end of a hostile answer.
_LABELS = r"\{((?:[^}\"\\\n]|\"(?:[^\"\\\n]|\\.)*\")*)\}"

_REQUESTS = re.compile(
    rf"^vllm:num_requests_(?:running|waiting)(?:{_LABELS})?[ \t]+(\S+)", re.MULTILINE
)

_MODEL = re.compile(r"(?:^|,)\s*model_name=\"((?:[^\"\\]|\\.)*)\"")


def requests_of(exposition: str, model: str) -> int | None:
    """Return how many requests a vLLM has, waiting ones included; None where it does not say.

    A server counts under the first of its served names, and what it does for its other names and
    adapters is among that. So the one name that is there counts, whatever it is called.

    Args:
        exposition: What `/metrics` gives, in Prometheus' text format.
        model: The name of the served model.
    """
    counts: dict[str, float] = {}
    for labels, value in _REQUESTS.findall(exposition):
        named = _MODEL.search(labels)
        name = re.sub(r"\\(.)", r"\1", named[1]) if named else ""
        try:
            counts[name] = counts.get(name, 0.0) + float(value)
        except ValueError:
            return None
    if model not in counts and len(counts) != 1:
        return None
    (count,) = (counts[model],) if model in counts else counts.values()
    return round(count) if math.isfinite(count) and count >= 0 else None


class BackendLoads:
    """Asks backends for their load, for as long as there is traffic.

    Args:
        in_flight: Takes what was told.
    """

    def __init__(self, in_flight: InFlight) -> None:
        self._in_flight = in_flight
        self._watches: dict[str, _Watch] = {}

    def watch(self, key: str, backend: Callable[[], Backend | None]) -> None:
        """Ask a backend for its load from now on, if nobody asks it yet.

        Args:
            key: Its name in `InFlight`.
            backend: Tells how it is asked; None where that is not known.
        """
        watch = self._watches.get(key)
        if watch is None:
            watch = self._watches[key] = _Watch(key, self._in_flight)
            if len(self._watches) > MAX_BACKENDS:
                del self._watches[next(iter(self._watches))]
        watch.go_on(backend)


class _Watch:
    """One backend that is asked, once at a time.

    Args:
        key: Its name in `InFlight`.
        in_flight: Takes what it tells.
    """

    def __init__(self, key: str, in_flight: InFlight) -> None:
        self._key = key
        self._in_flight = in_flight
        self._until = 0.0
        self._due = 0.0
        self._failures = 0
        self._task: asyncio.Task[None] | None = None

    def go_on(self, backend: Callable[[], Backend | None]) -> None:
        """Ask on until there was no traffic for `LINGER_SECONDS`."""
        now = time.monotonic()
        self._until = now + LINGER_SECONDS
        task = self._task
        if task is not None and not task.done() and not task.get_loop().is_closed():
            return
        if now < self._due:
            return
        self._in_flight.report(self._key, 0)  # what was told to a loop that is gone is old
        try:
            whom = backend()
        except Exception as error:  # another version of LiteLLM
            log_failure("role guard cannot tell how a backend is asked", error)
            whom = None
        if whom is None:
            self._fail()
            return
        # In a context of its own: what the request has in its is not the task's.
        start = asyncio.get_running_loop().create_task
        self._task = contextvars.Context().run(start, self._run(whom))

    async def _run(self, backend: Backend) -> None:
        try:
            async with backend.client() as client:
                while time.monotonic() < self._until:
                    await self._ask(backend, client)
                    if self._failures:
                        return  # the next request after the pause asks again
                    await asyncio.sleep(INTERVAL_SECONDS * random.uniform(0.75, 1.25))
        except Exception as error:
            log_failure(f"role guard failed to ask for the load of {backend.name}", error)
            self._fail()
        finally:
            self._in_flight.report(self._key, 0)

    async def _ask(self, backend: Backend, client: httpx.AsyncClient) -> None:
        own = self._in_flight.counts[self._key]
        try:
            # httpx has a time limit for each piece of an answer, and none for all of it.
            exposition = await asyncio.wait_for(_metrics(backend, client), TIMEOUT_SECONDS)
            told = requests_of(exposition, backend.model)
        except (asyncio.TimeoutError, httpx.HTTPError, httpx.InvalidURL):
            told = None
        if told is None:
            self._fail()
            logger.debug("routing: no load is told deployment=%s", backend.name)
            return
        self._failures = 0
        # Of this proxy's own, those that came or went meanwhile may or may not be counted.
        self._in_flight.report(self._key, told - max(own, self._in_flight.counts[self._key]))

    def _fail(self) -> None:
        self._failures += 1
        pause = INTERVAL_SECONDS * 2.0 ** min(self._failures, 20)
        self._due = time.monotonic() + min(pause, LONGEST_PAUSE_SECONDS)
        self._in_flight.report(self._key, 0)


async def _metrics(backend: Backend, client: httpx.AsyncClient) -> str:
    """Return what `/metrics` says; empty where there is nothing, or too much of it.

    Raises:
        httpx.HTTPError: The backend cannot be reached.
        httpx.InvalidURL: Its address is none.
    """
    try:
        answer = await read_answer(
            client,
            "GET",
            f"{root_of(backend.url)}/metrics",
            headers=headers_with(backend.api_key, backend.headers),
            seconds=TIMEOUT_SECONDS,
            max_bytes=MAX_BYTES,
        )
    except AnswerTooLong:
        return ""
    return answer.content.decode(errors="replace") if answer.status_code == 200 else ""
