"""A client of the guard's own among the arguments of LiteLLM's call, on borrowed connections."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from .litellm_internals import AsyncHTTPHandler


class BorrowingClient(AsyncHTTPHandler):
    """A handler that uses another handler's connections.

    Args:
        inner: The handler that holds the connections; it stays its owner's.
        given: The arguments of LiteLLM's call that were replaced when this client was put in, as
            they were; None for what was not there.
    """

    def __init__(self, inner: AsyncHTTPHandler, given: Mapping[str, Any] | None = None) -> None:
        # The base's constructor would open a connection pool of its own.
        self._inner = inner
        self.given = {} if given is None else given

    def __getattr__(self, name: str) -> Any:
        # The base's attributes (timeout, ...) are the inner handler's. Dunder names are left out:
        # copying asks for them on an instance that has no inner handler yet.
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.__dict__["_inner"], name)

    def __deepcopy__(self, memo: dict[int, Any]) -> BorrowingClient:
        # LiteLLM copies a call's arguments for each fallback. Connections cannot be copied.
        given = {
            name: value if name == "client" else copy.deepcopy(value, memo)
            for name, value in self.given.items()
        }
        return self.copied(given)

    def copied(self, given: Mapping[str, Any]) -> BorrowingClient:
        """Return a client on the same connections, for a copy of the arguments.

        Args:
            given: As for the constructor.
        """
        raise NotImplementedError

    def __del__(self) -> None:
        # The base's finalizer closes the connections that this client only borrows, and with them
        # every stream that still reads from them.
        pass

    async def close(self) -> None:
        """Close nothing: the connections are the inner handler's."""


def replaced(body: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body with other fields; None removes one."""
    merged = {**body, **fields}
    return {key: value for key, value in merged.items() if value is not None or key not in fields}


def original_arguments(kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a call's arguments as they were before a client of ours was put into them.

    LiteLLM hands the arguments of a call that failed on to its own retries and fallbacks, to other
    providers' as well. Where there is nothing to take back, the very same object is returned.

    Args:
        kwargs: The arguments of LiteLLM's call.
    """
    client = kwargs.get("client")
    return replaced(kwargs, client.given) if isinstance(client, BorrowingClient) else kwargs
