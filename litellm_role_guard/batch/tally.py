"""The sums of a run: what was answered, what it took, what the guard changed."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from .sending.request import BatchResult, token_counts


class Tally:
    """The sums of the results so far.

    Attributes:
        total: How many requests there are; None while that is not known.
        before: How many of them an earlier run has answered.
        answered: How many were answered.
        failed: How many have an error for good.
        errors: How many errors there were of each status, `no answer` among them.
        tries: By the number of tries, how many requests took it.
        prompt_tokens: The tokens of their prompts.
        completion_tokens: The tokens of their answers.
        changes: How many changes of each kind the guard made.
        repaired: How many requests it changed.
    """

    def __init__(self, total: int | None = None) -> None:
        self.total = total
        self.before = 0
        self.answered = 0
        self.failed = 0
        self.errors: Counter[str] = Counter()
        self.tries: Counter[int] = Counter()
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.changes: Counter[str] = Counter()
        self.repaired = 0
        self._began = time.monotonic()

    @property
    def done(self) -> int:
        """How many requests are answered or failed."""
        return self.answered + self.failed

    @property
    def seconds(self) -> float:
        """How long this run takes so far."""
        return time.monotonic() - self._began

    @property
    def rate(self) -> float:
        """How many results this run had in a second."""
        return (self.done - self.before) / max(self.seconds, 1e-9)

    @property
    def sent_again(self) -> int:
        """How many tries there were beyond the first ones."""
        return sum((tries - 1) * count for tries, count in self.tries.items())

    def add(self, result: BatchResult, *, is_earlier: bool = False) -> None:
        """Add a result.

        Args:
            result: The result.
            is_earlier: Whether it is an earlier run's.
        """
        self.before += is_earlier
        if result.answered:
            self.answered += 1
        else:
            self.failed += 1
            self.errors["no answer" if result.status is None else str(result.status)] += 1
        self.tries[result.tries] += 1
        read, said = token_counts(result.body)
        self.prompt_tokens += read
        self.completion_tokens += said
        self.changes.update(result.changes)
        self.repaired += bool(result.changes)

    def as_json(self) -> dict[str, Any]:
        """Return the sums as data for JSON."""
        return {
            "requests": self.total,
            "answered": self.answered,
            "failed": self.failed,
            "answered_before": self.before,
            "errors": dict(self.errors),
            "tries": {str(tries): count for tries, count in sorted(self.tries.items())},
            "sent_again": self.sent_again,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "repaired": self.repaired,
            "changes": dict(self.changes),
            "seconds": round(self.seconds, 3),
            "answers_per_second": round(self.rate, 1),
        }
