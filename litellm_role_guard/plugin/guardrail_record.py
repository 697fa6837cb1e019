"""What was done to a request, in the record that LiteLLM keeps of guardrails.

LiteLLM hands it on to its spans (OpenTelemetry), to Langfuse and other loggers, to the spend logs
and to the Admin UI, and names the guardrail in `x-litellm-applied-guardrails`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from litellm.integrations.custom_guardrail import CustomGuardrail
from litellm.types.guardrails import GuardrailEventHooks

from ..observability.log import log_failure
from ..observability.report import Report
from .litellm_internals import name_as_applied

NAME = "role_guard"
"""What the guard is called there, where no `guardrails:` entry names it."""


_MADE = frozenset(("model_group", "user_api_key"))


class GuardrailRecord:
    """Adds entries to LiteLLM's record of a request: counts and kinds, and never a text."""

    def __init__(self) -> None:
        self._unnamed = CustomGuardrail(
            guardrail_name=NAME, event_hook=GuardrailEventHooks.pre_call
        )

    def add(
        self,
        arguments: dict[str, Any],
        report: Report,
        *,
        began: float,
        ended: float,
        guardrail: CustomGuardrail | None = None,
    ) -> None:
        """Add an entry for what was done.

        Args:
            arguments: LiteLLM's arguments of the call, whose metadata takes the entry.
            report: What was done.
            began: When it was begun, in seconds since 1970.
            ended: When it was done.
            guardrail: The `guardrails:` entry in whose name it was done; None without one.
        """
        guardrail = guardrail or self._unnamed
        if not _has_own_metadata(arguments):
            return
        try:
            guardrail.add_standard_logging_guardrail_information_to_request_data(
                guardrail_json_response=_response(report),
                request_data=arguments,
                guardrail_status="guardrail_intervened" if report.rejected else "success",
                start_time=began,
                end_time=ended,
                duration=ended - began,
                guardrail_provider=NAME,
                event_type=GuardrailEventHooks.pre_call,
            )
            name_as_applied(arguments, guardrail.guardrail_name)
        except Exception as error:  # another version of LiteLLM
            log_failure("LiteLLM's record of guardrails cannot be kept", error, logging.DEBUG)


def _has_own_metadata(arguments: Mapping[str, Any]) -> bool:
    """Return whether a call has metadata that the proxy or a router has made.

    In a plain call of the library `metadata` would be the application's, and sent to the backend.
    """
    metadata = arguments.get("litellm_metadata", arguments.get("metadata"))
    return isinstance(metadata, Mapping) and not _MADE.isdisjoint(metadata)


def _response(report: Report) -> Mapping[str, Any]:
    mode = "observe" if report.observed else "reject" if report.rejected else "repair"
    return {"mode": mode, "changes": report.kinds, "retried": report.retried}
