"""Which report belongs to the request that a hook is called for."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any
from weakref import WeakKeyDictionary

from ..observability.report import Report
from .steering import Steering


class _Scope:
    """One request to the proxy. The tasks that LiteLLM makes for its attempts share it."""

    report: Report | None = None
    steering: Steering | None = None


class Reports:
    """The report of each request's last attempt, for the hooks that come later.

    LiteLLM's logging object is what the hooks of a request share. It is taken away before the
    hooks of a request that failed, so that such a request is known by its context instead.
    """

    def __init__(self) -> None:
        self._by_logging_object: WeakKeyDictionary[Any, Report] = WeakKeyDictionary()
        self._scope: ContextVar[_Scope | None] = ContextVar("role_guard_request", default=None)

    def begin(self) -> None:
        """Begin a request to the proxy, of whose end its hooks will tell."""
        self._scope.set(_Scope())

    def steer(self, steering: Steering) -> None:
        """Keep what was written for the request in hand."""
        scope = self._scope.get()
        if scope is not None:
            scope.steering = steering

    @property
    def steering(self) -> Steering | None:
        """What was written for the request in hand; None where the proxy has not told of it."""
        scope = self._scope.get()
        return None if scope is None else scope.steering

    @property
    def will_end(self) -> bool:
        """Whether a hook of the proxy's will tell of the end of the request in hand."""
        return self._scope.get() is not None

    def keep(self, logging_object: Any, report: Report) -> None:
        """Keep a report in place of an earlier attempt's.

        Args:
            logging_object: LiteLLM's logging object of the request, or None.
            report: What was done.
        """
        if logging_object is not None:
            self._by_logging_object[logging_object] = report
        scope = self._scope.get()
        if scope is not None:
            scope.report = report

    def forget(self, logging_object: Any) -> None:
        """Forget what an earlier attempt did, at another deployment."""
        scope = self._scope.get()
        if scope is not None:
            if scope.report is None:
                return  # this is the first attempt
            scope.report = None
        if logging_object is not None:
            self._by_logging_object.pop(logging_object, None)

    def of(self, logging_object: Any) -> Report | None:
        """Return the report of a request; None where there is none.

        LiteLLM answers some endpoints (`generateContent`) by a call with another logging object,
        so that such a request is known by its context, too.

        Args:
            logging_object: LiteLLM's logging object of it, or None for the request in hand.
        """
        if logging_object is not None and logging_object in self._by_logging_object:
            return self._by_logging_object[logging_object]
        scope = self._scope.get()
        return None if scope is None else scope.report
