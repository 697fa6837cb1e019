"""The guard with a stopwatch: for how long its code holds the event loop, at most.

Each hook, and each task that the guard starts by itself, is timed from one await to the next. Every
second a file `timed-<pid>.json` beside the config is written anew, with the longest times so far,
the process's memory and what is in flight.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator
from pathlib import Path
from typing import Any

import litellm_role_guard
from litellm_role_guard.plugin.guard import RoleGuard
from litellm_role_guard.plugin.retrying_client import RetryingClient

HERE = Path(__file__).parent
PACKAGE = str(Path(litellm_role_guard.__file__).parent)
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

longest: dict[str, dict[str, float]] = {}
"""By name: the longest time without an await, in ms, of the processor and by the clock, and how
many there were. Garbage is collected whenever something is allocated, for the whole process, and
its time is no part of the processor's."""

_collected = [0.0, 0.0]  # when it began; how long it took in all


def _collecting(phase: str, info: object) -> None:
    if phase == "start":
        _collected[0] = time.thread_time()
    else:
        _collected[1] += time.thread_time() - _collected[0]


gc.callbacks.append(_collecting)


def clocks() -> tuple[float, float]:
    """Give the time by the clock, and the processor's without the collection of garbage."""
    return time.perf_counter(), time.thread_time() - _collected[1]


def note(name: str, began: tuple[float, float]) -> None:
    """Take note of one time without an await that began then."""
    wall, cpu = (now - then for now, then in zip(clocks(), began, strict=True))
    kept = longest.setdefault(name, {"cpu_ms": 0.0, "wall_ms": 0.0, "count": 0})
    kept["cpu_ms"] = max(kept["cpu_ms"], cpu * 1000)
    kept["wall_ms"] = max(kept["wall_ms"], wall * 1000)
    kept["count"] += 1


class Timed:
    """A coroutine, timed from one await to the next."""

    def __init__(self, name: str, inner: Coroutine[Any, Any, Any]) -> None:
        self._name = name
        self._inner = inner

    def __await__(self) -> Generator[Any, Any, Any]:
        """Run the coroutine."""
        sent: Any = None
        thrown: BaseException | None = None
        while True:
            began = clocks()
            try:
                if thrown is not None:
                    waits_for = self._inner.throw(thrown)
                else:
                    waits_for = self._inner.send(sent)
            except StopIteration as ended:
                return ended.value
            finally:
                note(self._name, began)
            sent = thrown = None
            try:
                sent = yield waits_for
            except BaseException as error:
                thrown = error


async def awaited(timed: Timed) -> Any:
    """Give the result."""
    return await timed


def timed_hook(name: str) -> Callable[..., Awaitable[Any]]:
    """Give a hook of the guard, timed."""
    method = getattr(RoleGuard, name)

    async def hook(self: RoleGuard, *args: Any, **kwargs: Any) -> Any:
        _start()
        return await Timed(name, method(self, *args, **kwargs))

    return hook


def timed_tasks(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
    """Make a task; one of the guard's own is timed."""
    code = getattr(coroutine, "cr_code", None)
    if code is not None and code.co_filename.startswith(PACKAGE):
        coroutine = awaited(Timed(code.co_name, coroutine))
    return asyncio.Task(coroutine, loop=loop, **options)


async def _timed_repair(self: RetryingClient, *args: Any) -> Any:
    return await Timed("after a refusal", repaired(self, *args))


repaired = RetryingClient._repaired
RetryingClient._repaired = _timed_repair  # type: ignore[assignment, method-assign]

# LiteLLM looks hooks up in the class itself.
HOOKS = [name for name in vars(RoleGuard) if name.startswith("async_")]
TimedGuard = type("TimedGuard", (RoleGuard,), {name: timed_hook(name) for name in HOOKS})
role_guard = TimedGuard.from_config()  # type: ignore[attr-defined]

_writers: list[asyncio.Task[None]] = []


def _start() -> None:
    if not _writers:
        asyncio.get_running_loop().set_task_factory(timed_tasks)
        _writers.append(asyncio.ensure_future(_write()))


async def _write() -> None:
    while True:
        write(len(asyncio.all_tasks()))
        await asyncio.sleep(1)


def write(tasks: int) -> None:
    """Write the file anew."""
    file = HERE / f"timed-{os.getpid()}.json"
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    figures = {
        "mb": pages * PAGE_BYTES / 2**20,
        "tasks": tasks,
        "in_flight": sum(role_guard._affinity.in_flight.counts.values()),
        "counts": dict(role_guard.counts._counter),
        "longest": longest,
    }
    new = file.with_suffix(".new")
    new.write_text(json.dumps(figures))
    new.rename(file)


write(0)  # a worker that has loaded its config can be told from one that has not
