"""What the guard did to a request: as a response header, a log line and counts.

Message text is never part of any of them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from ..repair.change import Change
from .log import logger

HEADER = "x-role-guard"


_NOT_PRINTABLE = re.compile(r"[^\x20-\x7e]")


class Report:
    """What was done, or in mode observe would be done, to one request on its way to a deployment.

    Args:
        group: The model group that the client asked for.
        deployment: The id of the deployment that is to answer.
        observed: Whether the request itself is left as it is.

    Attributes:
        changes: What was changed.
        retried: How many calls were sent once more.
        routed: Where it was sent, `home`, `moved` or `overruled`; None where nothing was chosen.
        remembered: Whether what its `previous_response_id` stands for was put in its place.
    """

    def __init__(self, group: str, deployment: str, *, observed: bool = False) -> None:
        self.group = group
        self.deployment = deployment
        self.observed = observed
        self.changes: tuple[Change, ...] = ()
        self.retried = 0
        self.routed: str | None = None
        self.remembered = False

    def header(self) -> str | None:
        """Return the header's value, such as `merged=2; system=1; retried=1`; None for nothing."""
        said = self._done()
        if self.remembered:
            said.append("remembered=1")
        if self.routed is not None:
            said.append(f"routed={self.routed}")
        # A line break in a header value makes the server drop the connection.
        return _clean("; ".join(said)) if said else None

    def log(self) -> None:
        """Write one line, unless nothing was done; where a request went is not worth one."""
        done = self._done()
        if done:
            logger.info(
                "%s group=%s deployment=%s",
                _clean("; ".join(done)),
                _clean(self.group),
                _clean(self.deployment),
            )

    def _done(self) -> list[str]:
        done = _counts(self.changes)
        if self.retried:
            done.append(f"retried={self.retried}")
        return ["observe", *done] if self.observed and done else done


def explain(changes: Iterable[Change], location: Callable[[int], str]) -> str:
    """Say for each change what the backend would refuse or not read, and where.

    Args:
        changes: What a repair would do.
        location: Gives the place in the request where a message comes from.
    """
    return "; ".join(
        f"{', '.join(map(location, change.messages))}: {change.what}: {change.why}"
        for change in changes
    )


def _counts(changes: Sequence[Change]) -> list[str]:
    if not changes:
        return []  # most requests, and a Counter is dear
    counted = Counter(change.what for change in changes)
    return [f"{what}={count}" for what, count in counted.items()]


def _clean(text: str) -> str:
    return _NOT_PRINTABLE.sub(" ", text)
