"""Where the work on a conversation is done: at once, in a thread, or not at all.

The event loop of a proxy serves all requests. What takes milliseconds is done beside it, by few
threads, so that many large requests take turns with each other and not with everybody.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from ..config.settings import DeploymentSettings
from ..messages.size import MAX_DEPTH, ConversationSize, size_of

MAX_INLINE_ENTRIES = 250
"""Up to how many messages, parts and calls work is done at once: a repair takes some 20 us for each
where much is wrong, 5 ms in all."""


MAX_INLINE_CHARACTERS = 1_000_000
"""Up to how many characters work is done at once; to hash or join these takes some milliseconds."""


_THREADS = 2

_executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="role-guard")

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Workload:
    """The work on one conversation.

    Args:
        listed: The request's `messages` or `input`, whatever the client has put there.
        beside: What else of the request is searched.
    """

    def __init__(self, listed: object, *beside: object) -> None:
        sizes = [size_of(listed), *(size_of([each]) for each in beside)]
        self._size = (
            ConversationSize(
                sum(size.entries for size in sizes),
                sum(size.characters for size in sizes),
                max(size.depth for size in sizes),
            )
            if beside
            else sizes[0]
        )

    def excess(self, settings: DeploymentSettings) -> str | None:
        """Return why the conversation is passed on as it is; None where it is not too large."""
        size = self._size
        if size.entries > settings.max_messages:
            return f"more than {settings.max_messages} messages, parts and calls (max_messages)"
        if size.characters > settings.max_characters:
            return f"more than {settings.max_characters} characters (max_characters)"
        if self.is_too_deep:
            return f"nested deeper than {MAX_DEPTH} levels"
        return None

    @property
    def is_too_deep(self) -> bool:
        """Whether it is nested so deep that nothing may go through all of it."""
        return self._size.depth > MAX_DEPTH

    async def do(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Do work whose time grows with the conversation; return what it returns.

        Args:
            work: Must touch nothing that the event loop may change meanwhile.
            *args: Its arguments.
            **kwargs: Its arguments by name.
        """
        size = self._size
        if size.entries <= MAX_INLINE_ENTRIES and size.characters <= MAX_INLINE_CHARACTERS:
            return work(*args, **kwargs)
        context = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(
            _executor, lambda: context.run(work, *args, **kwargs)
        )
