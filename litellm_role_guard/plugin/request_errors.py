"""What makes the body of a request no conversation, on each endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..config.settings import DeploymentSettings
from ..endpoints.anthropic import find_anthropic_error
from ..endpoints.chat import as_dicts
from ..endpoints.responses_validation import find_input_error
from ..messages.validation import find_validation_error
from .request import ANTHROPIC, RESPONSES


class DeliberateError(Exception):
    """A request is to be answered with a 400.

    Attributes:
        event: What to count it as.
    """

    def __init__(self, event: str, reason: str) -> None:
        super().__init__(f"role guard: {reason}")
        self.event = event


def find_request_error(
    body: Mapping[str, Any], call_type: str, settings: DeploymentSettings
) -> str | None:
    """Return what is wrong with a request, and where; None where nothing is.

    Args:
        body: The request's body, or the arguments of LiteLLM's call.
        call_type: LiteLLM's call type.
        settings: Those of the deployment, for its `extra_roles`.
    """
    if call_type == ANTHROPIC:
        return find_anthropic_error(body.get("messages"), body.get("system"))
    if call_type == RESPONSES:
        return find_input_error(
            body.get("input"),
            body.get("instructions"),
            continued=bool(body.get("previous_response_id")),
            extra_roles=settings.extra_roles,
        )
    messages = as_dicts(body.get("messages"))
    error = find_validation_error(messages, extra_roles=settings.extra_roles)
    return None if error is None else str(error)
