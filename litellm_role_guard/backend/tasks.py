"""Waiting for several coroutines at once."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

_T = TypeVar("_T")


async def gather_or_cancel(calls: Iterable[Coroutine[Any, Any, _T]]) -> list[_T]:
    """Return the results of all coroutines, in order.

    If one fails, raise its error and cancel the others, which `asyncio.gather` leaves running.

    Args:
        calls: The coroutines, which run at the same time.
    """
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
