"""One request before all others, where it is not known whether the server has the model."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator

from ..errors import BadTarget
from .dispatcher import Dispatcher
from .request import BatchRequest, BatchResult

_NOT_ITS_OWN = frozenset((401, 403, 404))


async def results_of(
    dispatcher: Dispatcher, requests: AsyncIterator[BatchRequest], *, first_alone: bool
) -> AsyncGenerator[BatchResult, None]:
    """Yield the result of each request, in the order in which they come.

    Args:
        dispatcher: Who asks.
        requests: What to ask.
        first_alone: Whether the others wait for the result of the first one.

    Raises:
        BadTarget: The first one failed for a reason that is not its own.
    """
    if first_alone:
        first = await anext(requests, None)
        if first is None:
            return
        async for result in dispatcher.results(_only(first)):
            if _is_about_all(result):
                raise BadTarget(f"the first request: {result.error} ({result.status})")
            yield result
    async for result in dispatcher.results(requests):
        yield result


def _is_about_all(result: BatchResult) -> bool:
    if result.status in _NOT_ITS_OWN:
        return True
    # LiteLLM answers a model that it does not have with a 400.
    return result.status == 400 and "model name" in (result.error or "").lower()


async def _only(request: BatchRequest) -> AsyncIterator[BatchRequest]:
    yield request
