"""A run: each request of an input that has no answer yet is asked, written down and put out."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from .errors import BadInput
from .journal import Journal
from .output import Output
from .sending.dispatcher import Dispatcher
from .sending.first_alone import results_of
from .sending.request import BatchRequest, BatchResult
from .tally import Tally


@dataclass(frozen=True)
class Limits:
    """When a run is given up.

    Attributes:
        max_errors: How many requests may fail for good; None for any number.
        first_alone: Whether the first request is sent by itself, since it is not known whether
            the server has the model.
    """

    max_errors: int | None = None
    first_alone: bool = False


class Run:
    """Asks what has no answer yet.

    Args:
        journal: What has.
        output: Where the answers go.
        dispatcher: Who asks.
        tally: Takes the results.
        limits: When to give up.

    Attributes:
        is_given_up: Whether too many requests failed.
    """

    def __init__(
        self, journal: Journal, output: Output, dispatcher: Dispatcher, tally: Tally, limits: Limits
    ) -> None:
        self._journal = journal
        self._output = output
        self._dispatcher = dispatcher
        self._tally = tally
        self._limits = limits
        self.is_given_up = False

    async def ask(self, requests: AsyncIterator[BatchRequest]) -> None:
        """Ask all of them, or as many as can be.

        Args:
            requests: All requests of the input, in its order.

        Raises:
            BadInput: A request was answered before for another input, or `requests` raises it.
            BadTarget: The server says of the first request that it has no such model.
            WriteFailed: The disk is full, or gone.
        """
        new, alone = self._unanswered(requests), self._limits.first_alone
        results = results_of(self._dispatcher, new, first_alone=alone)
        async with contextlib.aclosing(results):
            async for result in results:
                self._take(result)

    def _take(self, result: BatchResult) -> None:
        self._journal.append(result)
        self._output.add(result)
        self._tally.add(result)
        most = self._limits.max_errors
        if most is not None and self._tally.failed > most:
            self.is_given_up = True
            self._dispatcher.drain()

    async def _unanswered(
        self, requests: AsyncIterator[BatchRequest]
    ) -> AsyncIterator[BatchRequest]:
        async for request in requests:
            if not self._journal.has(request.number):
                yield request
            elif self._journal.digest(request.number) != request.digest():
                raise BadInput(
                    f"request {request.number + 1} was answered before, but asked something else; "
                    "take another OUT, or --overwrite"
                )
