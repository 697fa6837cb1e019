"""How far a command is with the lines of a file, on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

_Item = TypeVar("_Item")

_EVERY_SECONDS = 0.2


def shown(items: Iterable[_Item], what: str) -> Iterator[_Item]:
    """Yield items, and count them on a terminal; nothing is printed elsewhere.

    Args:
        items: The items.
        what: What is done with them, such as `repairing`.
    """
    if not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console

    began = drawn = time.monotonic()
    with Console(stderr=True).status(what) as status:
        for count, item in enumerate(items, 1):
            yield item
            now = time.monotonic()
            if now - drawn > _EVERY_SECONDS:
                drawn = now
                status.update(f"{what}: {count:,} lines, {count / (now - began):,.0f} a second")
