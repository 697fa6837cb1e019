"""What makes the body of a request no conversation, on each endpoint, and what would let it by."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from ..config.settings import KEY, DeploymentSettings
from ..endpoints.anthropic import find_anthropic_error
from ..endpoints.chat import as_dicts
from ..endpoints.generate_content import find_contents_error
from ..endpoints.responses_validation import find_continuation_error, find_input_error
from ..messages.validation import ROLES, find_validation_error
from ..observability.report import Report
from .request import ANTHROPIC, CHAT, GENERATE_CONTENT, REQUEST_FIELD, RESPONSES
from .template_roles import MAX_ROLES

_ROLE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")

WHERE = f"in the deployment's model_info.{KEY} or under callback_settings.{KEY}"
"""Where a setting stands that lets a request through."""


class DeliberateError(Exception):
    """A request is to be answered with a 400.

    Attributes:
        event: What to count it as.
        report: What was found.
    """

    def __init__(self, event: str, reason: str, report: Report) -> None:
        super().__init__(f"role guard: {reason}")
        self.event = event
        self.report = report


def with_mode(reason: str, mode: str, effect: str) -> str:
    """Return a reason with the mode that would not refuse the request.

    Args:
        reason: What is wrong, and where.
        mode: The mode.
        effect: What it would do, such as `passes it on`.
    """
    return f"{reason}; mode: {mode} {WHERE} {effect}"


def marker_refused(place: str) -> str:
    """Return why text that the backend would not read as text is refused.

    Args:
        place: Where in the request it stands.
    """
    reason = f"{place}: holds a marker with which the backend's template opens or closes a turn"
    return f"{reason}; leave it out, or control_tokens: escape {WHERE} makes it plain text"


def unsearched(field: str, excess: str) -> str:
    """Return why a conversation is refused that is too large to be searched for markers.

    Args:
        field: Where in the request it stands.
        excess: Which limit it is beyond.
    """
    reason = f"{field}: {excess}, too large to be searched for markers of turns"
    return f"{reason}; control_tokens: allow {WHERE} passes it on as it is"


def find_request_error(
    body: Mapping[str, Any],
    call_type: str,
    settings: DeploymentSettings,
    taken: Collection[str] = (),
) -> str | None:
    """Return what is wrong with a request, where, and which setting would let it through.

    Args:
        body: The request's body, or the arguments of LiteLLM's call.
        call_type: LiteLLM's call type.
        settings: Those of the deployment, for its `extra_roles`.
        taken: Further roles that its template was found to know.

    Returns:
        None where nothing is wrong.
    """
    known = [*settings.extra_roles, *taken]
    reason = _find_fault(body, call_type, known)
    if reason is None:
        return None
    unknown = [role for role in _roles(body, call_type) if role not in known]
    if unknown and _find_fault(body, call_type, [*known, *unknown]) is None:
        shown = ", ".join(repr(role[:32]) for role in unknown[:MAX_ROLES])
        return f"{reason}; extra_roles: [{shown}] {WHERE} lets it through"
    return with_mode(reason, "observe", "passes it on as it is")


def askable_roles(
    body: Mapping[str, Any], call_type: str, settings: DeploymentSettings
) -> Sequence[str]:
    """Return the unknown roles of a request that the template may be asked about.

    None where the template cannot be asked, where a name is none that a template would know, or
    where there are more than anybody would need: clients make names up.

    Args:
        body: The request's body, or the arguments of LiteLLM's call.
        call_type: LiteLLM's call type.
        settings: Those of the deployment.
    """
    if settings.chat_template is None and not settings.learn:
        return ()
    unknown = [role for role in _roles(body, call_type) if role not in settings.extra_roles]
    if len(unknown) > MAX_ROLES or not all(map(_ROLE_NAME.fullmatch, unknown)):
        return ()
    return unknown


def asked_messages(body: Mapping[str, Any], call_type: str) -> list[Mapping[str, Any]]:
    """Return the messages, or the items with a role, whose roles may be unknown.

    LiteLLM drops messages of /v1/messages in roles that it does not know, so that none of them
    is there to be asked about.

    Args:
        body: The request's body, or the arguments of LiteLLM's call.
        call_type: LiteLLM's call type.
    """
    if call_type not in (CHAT, RESPONSES):
        return []
    listed = body.get(REQUEST_FIELD[call_type])
    if not isinstance(listed, Sequence) or isinstance(listed, (str, bytes)):
        return []
    read = (each.model_dump() if isinstance(each, BaseModel) else each for each in listed)
    return [each for each in read if isinstance(each, Mapping) and "role" in each]


def _roles(body: Mapping[str, Any], call_type: str) -> list[str]:
    """Return the names of the roles that OpenAI does not know, in order."""
    roles = (message["role"] for message in asked_messages(body, call_type))
    return list(
        dict.fromkeys(each for each in roles if isinstance(each, str) and each not in ROLES)
    )


def _find_fault(body: Mapping[str, Any], call_type: str, extra_roles: Sequence[str]) -> str | None:
    if call_type == ANTHROPIC:
        return find_anthropic_error(body.get("messages"), body.get("system"))
    if call_type in GENERATE_CONTENT:
        return find_contents_error(body.get("contents"))
    if call_type == RESPONSES:
        return find_continuation_error(body.get("previous_response_id")) or find_input_error(
            body.get("input"),
            body.get("instructions"),
            continued=bool(body.get("previous_response_id")),
            extra_roles=extra_roles,
        )
    messages = as_dicts(body.get("messages"))
    error = find_validation_error(messages, extra_roles=extra_roles)
    return None if error is None else str(error)
