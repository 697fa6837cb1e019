"""A clock that jumps over waits, so that a busy machine is as fast as an idle one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


@contextmanager
def skipping(loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let time pass only while an event loop has nothing to do but wait, and then at once.

    What is done takes no time. Use it where nothing comes from other threads or from sockets.

    Args:
        loop: The event loop, which runs on a selector.
        monkeypatch: What puts `time.monotonic` back, which the loop's own clock follows.
    """
    selector: Any = loop._selector  # type: ignore[attr-defined]
    select, now = selector.select, time.monotonic()

    def jump(timeout: float | None = None) -> Any:
        nonlocal now
        if timeout is None:
            return select()
        now += max(0.0, timeout)
        return select(0)

    with monkeypatch.context() as patched:
        patched.setattr(time, "monotonic", lambda: now)
        patched.setattr(selector, "select", jump)
        yield


class Clock:
    """The time as it passes, and what a test adds to it."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def __call__(self) -> float:
        """Return the time in seconds."""
        return time.monotonic() + self._ahead

    def put_forward(self, seconds: float = 1000.0) -> None:
        """Let time pass: by default more than any cooldown, and less than a profile's age."""
        self._ahead += seconds


class StoppedClock(Clock):
    """A time that passes only where a test lets it: how long things take makes no difference."""

    def __init__(self) -> None:
        super().__init__()
        self._now = time.monotonic()

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self._now + self._ahead
