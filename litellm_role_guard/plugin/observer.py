"""Reports what becomes of a request to the metrics and to LiteLLM's record of guardrails."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import httpx
from litellm.integrations.custom_guardrail import CustomGuardrail

from ..observability.log import log_failure
from ..observability.metrics import DeploymentMetrics
from ..observability.report import Report
from .call_part import CallPart
from .call_plan import CallPlan
from .guardrail_record import GuardrailRecord
from .in_flight_stream import InFlightEnd
from .request import LiteLLMRequest
from .request_errors import DeliberateError

_PAST = {"observe": "observed", "repair": "repaired"}


class RequestObserver:
    """Reports what becomes of each request to the metrics and to LiteLLM's record.

    `started` is everywhere when the guard took the request in hand, as `time.perf_counter` has it.
    """

    def __init__(self) -> None:
        self._record = GuardrailRecord()

    def planned(
        self,
        request: LiteLLMRequest,
        plan: CallPlan,
        metrics: DeploymentMetrics,
        started: float,
        guardrail: CustomGuardrail | None,
    ) -> CallPlan:
        """Report a request that is about to be sent; return its plan, observed further on.

        Args:
            request: The request.
            plan: How it is to be made.
            metrics: Those of its deployment.
            started: See above.
            guardrail: The `guardrails:` entry in whose name this is done; None without one.
        """
        report = plan.report
        if report is None:
            metrics.planned("skipped", time.perf_counter() - started)
            return plan
        mode = "observe" if report.observed else "repair"
        outcome = _PAST[mode] if report.changes else "untouched"
        if "too_large" in report.kinds:
            outcome = "skipped"
        metrics.planned(outcome, time.perf_counter() - started)
        if report.changes:
            metrics.changed(report.kinds, mode)
            self._add(request.arguments, report, started, guardrail)
        if plan.policy is None and not plan.parts:
            return plan  # LiteLLM's own client makes the call
        retries = _Retries(
            report, metrics, lambda since: self._add(request.arguments, report, since, guardrail)
        )
        if not metrics.is_on:
            return plan.with_parts(retries)
        return plan.with_parts(retries, InFlightEnd(_InFlight(metrics)))

    def blocked(
        self,
        arguments: Mapping[str, Any],
        error: DeliberateError,
        metrics: DeploymentMetrics,
        started: float,
        guardrail: CustomGuardrail | None,
    ) -> None:
        """Report a request that is answered with a 400.

        Args:
            arguments: The request's body in the proxy, or LiteLLM's arguments of the call.
            error: What the 400 says, and the report of what was found.
            metrics: Those of its deployment, or of its group.
            started: See above.
            guardrail: The `guardrails:` entry in whose name this is done; None without one.
        """
        metrics.planned(error.event, time.perf_counter() - started)
        metrics.changed(error.report.kinds, "reject")
        self._add(arguments, error.report, started, guardrail)

    def failed(
        self,
        request: LiteLLMRequest | None,
        metrics: Callable[[LiteLLMRequest], DeploymentMetrics],
        started: float,
    ) -> None:
        """Report a request that goes on unchanged, since the guard itself has failed.

        Args:
            request: The request; None where it could not even be read.
            metrics: Returns those of its deployment.
            started: See above.
        """
        if request is None:
            return
        try:
            metrics(request).planned("failed", time.perf_counter() - started)
        except Exception as error:
            log_failure("role guard cannot count a failure", error)

    def _add(
        self,
        arguments: Mapping[str, Any],
        report: Report,
        started: float,
        guardrail: CustomGuardrail | None,
    ) -> None:
        assert isinstance(arguments, dict)  # LiteLLM's own; its metadata takes the entry
        ended = time.time()
        began = ended - (time.perf_counter() - started)
        self._record.add(arguments, report, began=began, ended=ended, guardrail=guardrail)


class _Retries(CallPart):
    """Reports the repaired calls that followed a refusal, once the last one is through."""

    def __init__(
        self, report: Report, metrics: DeploymentMetrics, record: Callable[[float], None]
    ) -> None:
        self._report = report
        self._metrics = metrics
        self._record = record
        self._counted = report.kinds
        self._refusals = 0
        self._refused_at = 0.0

    async def on_error(self, error: httpx.HTTPStatusError, arguments: Mapping[str, Any]) -> None:
        """Count a refusal."""
        if error.response.status_code == 400:
            self._refusals += 1
            if self._refusals == 1:
                self._refused_at = time.perf_counter()

    def on_end(self, response: httpx.Response | None) -> None:
        """Report what became of the repaired calls, if there were any."""
        retried = self._report.retried
        if not retried:
            return
        if response is not None and response.status_code == 200:
            outcome = "answered"
        else:
            outcome = "refused" if self._refusals > retried else "failed"
        self._metrics.retried(retried - 1, outcome)
        self._metrics.changed(Counter(self._report.kinds) - Counter(self._counted), "repair")
        self._record(self._refused_at)


class _InFlight:
    """A request in flight in the metrics, until it is ended or nobody holds it any more."""

    def __init__(self, metrics: DeploymentMetrics) -> None:
        self._metrics: DeploymentMetrics | None = metrics
        metrics.began()

    def end(self) -> None:
        """End it; a second time changes nothing."""
        metrics, self._metrics = self._metrics, None
        if metrics is not None:
            metrics.ended()

    def __del__(self) -> None:
        self.end()
