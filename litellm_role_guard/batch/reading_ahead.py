"""A blocking iterator, read by a thread a little ahead of the event loop that takes its items."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterable
from typing import NamedTuple, TypeVar

_Item = TypeVar("_Item")


class _End(NamedTuple):
    failure: BaseException | None


async def read_ahead(items: Iterable[_Item], most: int = 256) -> AsyncIterator[_Item]:
    """Yield items that a thread of its own reads, so that a slow pipe holds nothing else up.

    Args:
        items: What to read. It may block, even for ever.
        most: How many items may be read before they are taken.

    Raises:
        BaseException: What reading raises, after the items before it.
    """
    loop = asyncio.get_running_loop()
    ready: asyncio.Queue[_Item | _End] = asyncio.Queue()
    room = threading.Semaphore(most)
    is_left = threading.Event()

    def put(item: _Item | _End) -> None:
        loop.call_soon_threadsafe(ready.put_nowait, item)

    def read() -> None:
        failure: BaseException | None = None
        try:
            for item in items:
                room.acquire()
                if is_left.is_set():
                    return
                put(item)
        except BaseException as error:
            failure = error
        if not is_left.is_set():
            put(_End(failure))

    # A daemon: one that waits for a pipe must not keep the process.
    threading.Thread(target=read, daemon=True, name="batch-reader").start()
    try:
        while not isinstance(item := await ready.get(), _End):
            room.release()
            yield item
        if item.failure is not None:
            raise item.failure
    finally:
        is_left.set()
        room.release()
