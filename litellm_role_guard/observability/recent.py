"""What the guard did lately in this process, for those who run it; never message text."""

from __future__ import annotations

import os
import socket
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from typing import Any

from .report import Report

MAX_REPAIRS = 100
"""How many repairs are remembered, the last ones."""


MAX_GROUPS = 256
"""How many groups are counted, those seen last: with a wildcard clients make names up."""


class RecentRepairs:
    """The last requests that the guard had something to do for, and counts by group.

    Args:
        clock: Returns the time in seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._since = clock()
        self._repairs: deque[dict[str, Any]] = deque(maxlen=MAX_REPAIRS)
        self._groups: OrderedDict[str, Counter[str]] = OrderedDict()

    def add(self, report: Report) -> None:
        """Remember what was done to a request."""
        outcome = _outcome(report)
        before, after = report.roles or ("", "")
        self._repairs.append(
            {
                "at": self._clock(),
                "group": report.group[:100],
                "deployment": report.deployment[:100],
                "outcome": outcome,
                "kinds": report.kinds,
                "retried": report.retried,
                "before": before,
                "after": after,
            }
        )
        counts = self._groups.setdefault(report.group[:100], Counter())
        self._groups.move_to_end(report.group[:100])
        counts[outcome] += 1
        counts["retried"] += bool(report.retried)
        if len(self._groups) > MAX_GROUPS:
            self._groups.popitem(last=False)

    def shown(self) -> dict[str, Any]:
        """Return everything as data for JSON, the last repair first."""
        return {
            "process": {
                "id": f"{socket.gethostname()}:{os.getpid()}",
                "since": self._since,
                "now": self._clock(),
            },
            "recent": list(reversed(self._repairs)),
            "groups": {group: dict(counts) for group, counts in self._groups.items()},
        }


def _outcome(report: Report) -> str:
    if "bad_input" in report.kinds:
        return "bad_input"
    if "too_large" in report.kinds:
        return "too_large"
    if report.rejected:
        return "rejected"
    return "observed" if report.observed else "repaired"
