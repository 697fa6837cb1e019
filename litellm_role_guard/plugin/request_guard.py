"""One request on its way to a deployment: what is repaired, remembered and reported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from ..config.settings import DeploymentSettings
from ..endpoints.response_store import PendingResponse, ResponseStore
from ..observability.counts import Counts
from ..observability.report import HEADER, Report, explain
from ..repair.change import Change
from .call_part import CallPart
from .call_plan import CallPlan
from .client_markers import IN_FIELDS, beside, marked_place, without_markers
from .deployments import Deployment
from .guarded_call import GuardedCall
from .meant import meant_by
from .reports import Reports
from .request import REQUEST_FIELD, RESPONSES, LiteLLMRequest
from .request_errors import (
    DeliberateError,
    askable_roles,
    asked_messages,
    find_request_error,
    marker_refused,
    unsearched,
    with_mode,
)
from .response_capture import ResponseListener
from .retrying_client import NoRetry
from .unknown_response import CONTINUED, UnknownResponse, why_unknown
from .workload import Workload


class RequestGuard:
    """Plans the call of each request.

    Args:
        counts: Where to count what is done.
        reports: Takes the report of each request.
        on_logged: Takes each report whose line is written.
        responses: The responses that can be continued.
        on_failure: Handles an error of the guard's own that costs the request nothing.
    """

    def __init__(
        self,
        counts: Counts,
        reports: Reports,
        responses: ResponseStore,
        on_failure: Callable[[Exception], None],
        on_logged: Callable[[Report], None] | None = None,
    ) -> None:
        self._counts = counts
        self._reports = reports
        self._responses = responses
        self._on_failure = on_failure
        self._on_logged = on_logged

    async def plan(
        self,
        request: LiteLLMRequest,
        endpoint: str,
        deployment: Deployment,
        settings: DeploymentSettings,
    ) -> CallPlan:
        """Return how the request is to be made.

        Args:
            request: The request.
            endpoint: `CHAT` or `RESPONSES`.
            deployment: Who is to answer.
            settings: Those that hold for the request.

        Raises:
            DeliberateError: The request is to be answered with a 400.
        """
        if settings.mode == "off" or REQUEST_FIELD[endpoint] not in request.arguments:
            return CallPlan()  # positional arguments do not reach the hooks
        try:
            return await self._plan(request, endpoint, deployment, settings)
        except RecursionError:
            if settings.control_tokens == "allow" or settings.mode == "observe":
                raise
            # How deep a client nests its values must not be a way around the setting, either.
            report = self._report(request, request.deployment_name, observed=False)
            reason = unsearched(REQUEST_FIELD[endpoint], "nested too deep")
            self._refuse(request, report, "bad_input", reason)

    async def _plan(
        self,
        request: LiteLLMRequest,
        endpoint: str,
        deployment: Deployment,
        settings: DeploymentSettings,
    ) -> CallPlan:
        report = self._report(request, request.deployment_name, observed=settings.mode == "observe")
        searched = {} if settings.control_tokens == "allow" else beside(request.arguments)
        workload = Workload(request.arguments[REQUEST_FIELD[endpoint]], *searched.values())
        excess = workload.excess(settings)
        if excess is not None and settings.control_tokens != "allow":
            # Padding must not be a way around the setting.
            self._report_bad_input(request, report, unsearched(REQUEST_FIELD[endpoint], excess))
            return CallPlan(report)
        if excess is not None:
            report.changes = (Change("too_large", (), excess),)
            self._counts.add("too_large")
            self._keep(request, report)
            return CallPlan(report)
        is_remembered = endpoint == RESPONSES and settings.mode == "repair"
        stored: dict[str, Any] = {}
        if is_remembered and settings.remember_responses:
            items = self._responses.with_references(request.owner, request.arguments["input"])
            if items is not None:
                stored = {"input": items}
                request = LiteLLMRequest({**request.arguments, **stored})
                workload = Workload(items, *searched.values())
        reason = await _find_error(request, endpoint, deployment, settings, workload)
        if reason is not None:
            self._report_bad_input(request, report, reason)
            return CallPlan(report)
        pending = None
        if is_remembered and self._is_deleted(request):
            self._report_bad_input(request, report, why_unknown(CONTINUED, settings))
        if is_remembered and settings.remember_responses:
            pending = self.pending_response(request)
        if pending is not None and pending.continues:
            stored = {"input": pending.items(), CONTINUED: None}
            request = LiteLLMRequest({**request.arguments, **stored})
        if stored:
            report.remembered = True
            self._counts.add("remembered")
            workload = Workload(stored["input"], *searched.values())
        parts = _response_parts(request, pending, settings) if is_remembered else ()
        conversation = await workload.do(request.conversation, endpoint)
        if conversation is None:
            if settings.control_tokens != "allow" and request.arguments.get(CONTINUED):
                fields = ("input", "instructions")
                new = {name: request.arguments.get(name) or "" for name in fields}
                searched = {**searched, **new}
                stored |= await self._search(
                    request, deployment, settings, searched, report, workload
                )
            if stored:
                self._keep(request, report)
            return CallPlan(report, stored, NoRetry() if is_remembered else None, parts)
        call = GuardedCall(
            conversation,
            deployment,
            settings,
            backend=request.backend if request.may_ask_backend else None,
            tools=request.arguments.get("tools"),
            beside=searched,
            # vLLM's check_tool_usage, in chat_completion/protocol.py and not in responses/.
            needs_tools=endpoint != RESPONSES,
            report=report,
            counts=self._counts,
            owner=request.keys,
            teaches=request.teaches,
            workload=workload,
            meant=await workload.do(meant_by, conversation, settings),
        )
        arguments = await call.arguments()
        if settings.control_tokens == "reject":
            place = await workload.do(marked_place, deployment.profile, conversation, searched)
            if place is not None:
                self._report_bad_input(request, report, marker_refused(place))
                return CallPlan(report)
        if settings.mode == "reject":
            if arguments is not None:
                reasons = await workload.do(explain, report.changes, conversation.location)
                reasons = with_mode(reasons, "repair", "repairs it")
                self._refuse(request, report, "rejected", reasons)
            return CallPlan(report)
        self._keep(request, report)
        if arguments is not None:
            self._counts.add("observed" if report.observed else "repaired")
        if report.observed:
            call.finished(answered=False)
            return CallPlan(report)
        return CallPlan(report, {**stored, **(arguments or {})}, call, parts)

    def refusal_of_bad_input(
        self, request: LiteLLMRequest, reason: str
    ) -> tuple[DeliberateError, dict[str, str]]:
        """Return the 400 of a request for which no deployment was chosen yet, and its header.

        Args:
            request: The request to the proxy.
            reason: What is wrong with it.
        """
        report = self._report(request, "", observed=False)
        report.changes, report.rejected = (Change("bad_input", (), reason),), True
        self._keep(request, report)
        return DeliberateError("bad_input", reason, report), {HEADER: report.header() or ""}

    def pending_response(self, request: LiteLLMRequest) -> PendingResponse | None:
        """Return a /v1/responses request as the store knows it; None where it does not."""
        try:
            return self._responses.begin(
                request.owner, request.arguments["input"], request.response_id
            )
        except Exception as error:
            self._on_failure(error)
            return None

    def with_stored_history(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return a request with the conversation before it, where that is known."""
        if "input" not in arguments:
            return arguments
        arguments = self.with_referred_items(arguments)
        if not arguments.get(CONTINUED):
            return arguments
        pending = self.pending_response(LiteLLMRequest(arguments))
        if pending is None:
            return arguments
        return {**arguments, "input": pending.items(), CONTINUED: None}

    def with_referred_items(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return a request with the items of earlier responses that its `input` refers to."""
        owner = LiteLLMRequest(arguments).owner
        items = self._responses.with_references(owner, arguments.get("input"))
        return arguments if items is None else {**arguments, "input": items}

    async def _search(
        self,
        request: LiteLLMRequest,
        deployment: Deployment,
        settings: DeploymentSettings,
        fields: Mapping[str, Any],
        report: Report,
        workload: Workload,
    ) -> dict[str, Any]:
        """Return the fields of a chat that only the backend knows, without markers of turns.

        Raises:
            DeliberateError: They hold some, and that is refused.
        """
        if deployment.learner is not None and request.may_ask_backend:
            await deployment.learner.ready(request.backend, settings.learn_wait)
        inert = await workload.do(without_markers, fields, deployment.profile)
        if inert and settings.control_tokens == "reject":
            self._report_bad_input(request, report, marker_refused(next(iter(inert))))
            return {}
        if inert:
            report.changes = IN_FIELDS
            self._counts.add("observed" if report.observed else "repaired")
        return {} if report.observed else inert

    def _is_deleted(self, request: LiteLLMRequest) -> bool:
        response_id = request.response_id
        return response_id is not None and self._responses.is_deleted(request.owner, response_id)

    def _report_bad_input(self, request: LiteLLMRequest, report: Report, reason: str) -> None:
        """Raise the 400, or in mode observe report it."""
        report.changes = (Change("bad_input", (), reason),)
        if not report.observed:
            self._refuse(request, report, "bad_input", reason)
        self._counts.add("bad_input")
        self._keep(request, report)

    def _refuse(self, request: LiteLLMRequest, report: Report, event: str, reason: str) -> NoReturn:
        report.rejected = True
        self._keep(request, report)
        raise DeliberateError(event, reason, report)

    def _report(self, request: LiteLLMRequest, deployment: str, *, observed: bool) -> Report:
        return Report(
            request.group,
            deployment,
            observed=observed,
            details=request.log_details(),
            on_logged=self._on_logged,
        )

    def _keep(self, request: LiteLLMRequest, report: Report) -> None:
        self._reports.keep(request.logging_object, report)


async def _find_error(
    request: LiteLLMRequest,
    endpoint: str,
    deployment: Deployment,
    settings: DeploymentSettings,
    workload: Workload,
) -> str | None:
    """Return what is wrong with a request, by what the template says of roles nobody knows."""
    body = request.arguments
    reason = await workload.do(find_request_error, body, endpoint, settings)
    if reason is None or not (roles := askable_roles(body, endpoint, settings)):
        return reason
    backend = request.backend if request.may_ask_backend else None
    messages = asked_messages(body, endpoint)
    taken = await deployment.roles.taken(messages, roles, backend, settings.learn_wait)
    return await workload.do(find_request_error, body, endpoint, settings, taken)


def _response_parts(
    request: LiteLLMRequest, pending: PendingResponse | None, settings: DeploymentSettings
) -> tuple[CallPart, ...]:
    """Return what goes along with a /v1/responses call."""
    parts: list[CallPart] = []
    if pending is not None and request.arguments.get("store") is not False:
        parts.append(ResponseListener(pending.answered))
    if request.arguments.get(CONTINUED):
        parts.append(UnknownResponse(why_unknown(CONTINUED, settings)))
    return tuple(parts)
