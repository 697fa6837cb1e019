"""Which failures are tried again, and after how long."""

from __future__ import annotations

import email.utils
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_AGAIN = frozenset((408, 409, 425, 429))

_SHED = frozenset((429, 503, 529))


def is_tried_again(status: int | None) -> bool:
    """Return whether the same request may be answered the next time.

    Args:
        status: The HTTP status; None where the connection ended without an answer.
    """
    return status is None or status in _AGAIN or status >= 500


def is_shed(status: int | None) -> bool:
    """Return whether a server said that it has too much to do."""
    return status in _SHED


@dataclass(frozen=True)
class Retries:
    """How often, and after how long, a request is sent again.

    Attributes:
        most: How often it is sent at most.
        first_seconds: The longest pause before the second try; it doubles from try to try.
        longest_seconds: The longest pause that it doubles to.
        draw: Returns a number from 0 to 1.
    """

    most: int = 10
    first_seconds: float = 0.5
    longest_seconds: float = 30.0
    draw: Callable[[], float] = random.random

    def pause(self, tries: int, retry_after: float | None) -> float:
        """Return the seconds to wait before the next try.

        Half of it is drawn, so that what failed together is not sent together again.

        Args:
            tries: How often it was sent.
            retry_after: What the server asked for, in seconds; never less than that.
        """
        longest = min(self.longest_seconds, self.first_seconds * 2.0 ** min(tries - 1, 30))
        pause = longest * (0.5 + 0.5 * self.draw())
        if retry_after is None:
            return pause
        return retry_after + min(pause, self.first_seconds)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a server wants to be left alone (RFC 9110, 10.2.3)."""
    written = headers.get("Retry-After", "").strip()
    if written.isdecimal() and len(written) < 10:
        return float(written)
    try:
        at = email.utils.parsedate_to_datetime(written)
    except (TypeError, ValueError):
        return None
    return max(0.0, at.timestamp() - time.time())
