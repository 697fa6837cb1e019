"""The calls that the deployment hook is run for beside those with a conversation to repair."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..endpoints.anthropic import roles_of
from ..endpoints.response_store import ResponseStore
from ..observability.report import Report
from .guarded_groups import GuardedGroups
from .guardrail_entries import GuardrailEntries
from .litellm_internals import PROVIDER, keep_late_system
from .reports import Reports
from .request import ANTHROPIC, LiteLLMRequest
from .steering import Steering
from .stored_responses import STORED_CALLS, StoredResponses


class OtherCalls:
    """Prepares `/v1/messages` for the repair to come, and answers about stored responses.

    Args:
        groups: Which deployments are guarded, and how.
        entries: The entries that switch the guard on.
        reports: Takes the report of each request.
        store: The responses that can be read and deleted.
        steering: Returns what a call's key, team and client have set.
    """

    def __init__(
        self,
        groups: GuardedGroups,
        entries: GuardrailEntries,
        reports: Reports,
        store: ResponseStore,
        steering: Callable[[Mapping[str, Any]], Steering],
    ) -> None:
        self._groups = groups
        self._entries = entries
        self._reports = reports
        self._stored = StoredResponses(store)
        self._steering = steering

    def arguments(self, request: LiteLLMRequest, call_type: str) -> dict[str, Any] | None:
        """Return the arguments of a call as they are to be; None where nothing about it changes.

        Args:
            request: The call.
            call_type: LiteLLM's call type.
        """
        if call_type == ANTHROPIC:
            self._keep_late_system(request)
        elif call_type in STORED_CALLS and self._groups.guards(request):
            return self._about_stored_response(request, call_type)
        return None

    def _keep_late_system(self, request: LiteLLMRequest) -> None:
        """Have LiteLLM keep the late system messages of /v1/messages, for the repair to place."""
        # Nobody has validated it where its group is not guarded.
        roles = roles_of(request.arguments.get("messages"))
        is_late = "system" in roles[1:] and any(role != "system" for role in roles)
        if is_late and request.is_vllm and self._groups.repairs_all_of(request):
            model = str(request.arguments["model"]).removeprefix(f"{PROVIDER}/")
            keep_late_system(f"{PROVIDER}/{model}")

    def _about_stored_response(
        self, request: LiteLLMRequest, call_type: str
    ) -> dict[str, Any] | None:
        steering = self._steering(request.arguments)
        _, settings = self._groups.deployment(request, steering)
        is_on, _ = self._entries.switched_on(request.arguments)
        client = self._stored.client(request, call_type, settings) if is_on else None
        if client is None:
            return None
        if client.answers:
            details = request.log_details()
            report = Report(request.group, request.deployment_name, details=details)
            report.remembered = True
            self._reports.keep(request.logging_object, report)
        return {**request.arguments, "client": client}
