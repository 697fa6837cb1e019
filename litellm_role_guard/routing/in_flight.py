"""The requests that are on their way, counted by backend."""

from __future__ import annotations

import asyncio
import weakref
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol
from weakref import WeakKeyDictionary


class Counted(Protocol):
    """A request that is counted as in flight."""

    def end(self) -> None:
        """End it; a second time changes nothing."""


def end_with_task(counted: Counted, task: asyncio.Task[Any] | None = None) -> Callable[[], object]:
    """Have a request ended with a task, or the present one; return what takes that back.

    A client that leaves has LiteLLM's task cancelled wherever it is. The exception holds the frames
    that hold it, so that nothing of the request goes away before Python collects its cycles, which
    may take minutes.
    """
    task = task or present_task()
    if task is None:
        return lambda: None
    known = weakref.ref(counted)

    def end(_: object) -> None:
        still_held = known()
        if still_held is not None:
            still_held.end()

    task.add_done_callback(end)
    return partial(task.remove_done_callback, end)


def present_task() -> asyncio.Task[Any] | None:
    """Return the task that runs; None where none does."""
    try:
        return asyncio.current_task()
    except RuntimeError:  # no loop runs
        return None


class InFlightRequest:
    """A request that is on its way to a backend, until it is ended or nobody holds it any more."""

    def __init__(self, backend: str, counts: Counter[str]) -> None:
        self.backend = backend
        self._counts: Counter[str] | None = counts
        counts[backend] += 1

    def end(self) -> None:
        """End it; the backend has nothing to do with the request any more."""
        counts, self._counts = self._counts, None
        if counts is not None:
            counts[self.backend] -= 1
            if counts[self.backend] <= 0:
                del counts[self.backend]

    def __del__(self) -> None:
        self.end()


class InFlight:
    """The requests that are on their way, counted by backend.

    A count cannot leak: it ends with its `InFlightRequest`, and that with whatever holds it, the
    request at the latest. `end_with_task` has it end in time.

    Attributes:
        counts: How many of this process's requests each backend has, by its key.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._elsewhere: dict[str, int] = {}
        self._flights: WeakKeyDictionary[Any, InFlightRequest] = WeakKeyDictionary()

    def begin(self, backend: str, request: Any) -> InFlightRequest:
        """Count a request, which is on its way to one backend at a time.

        Args:
            backend: The backend's key.
            request: An object that lives as long as the request.
        """
        earlier = self._flights.get(request)
        if earlier is not None:
            earlier.end()
        self._flights[request] = flight = InFlightRequest(backend, self.counts)
        return flight

    def report(self, backend: str, elsewhere: int) -> None:
        """Set how many requests a backend has from others, as it says itself.

        Args:
            backend: The backend's key.
            elsewhere: How many it has beyond those of this process.
        """
        if elsewhere > 0:
            self._elsewhere[backend] = elsewhere
        else:
            self._elsewhere.pop(backend, None)

    def load(self, backend: str) -> int:
        """Return how many requests a backend has: this process's now, others' as last reported."""
        return self.counts[backend] + self._elsewhere.get(backend, 0)
