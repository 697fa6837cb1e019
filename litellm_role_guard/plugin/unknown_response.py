"""A 400 that explains, in place of a 404 for an unknown earlier response."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from ..config.settings import DeploymentSettings
from .call_part import CallPart
from .error_body import error_body, error_message
from .request_errors import WHERE, with_mode

CONTINUED = "previous_response_id"

_UNKNOWN = (
    "neither the backend nor the guard knows the response that this names: it was deleted, given "
    "to another key or by another worker of the proxy, or before a restart, or is too old"
)

_NOT_KEPT = f"remember_responses: false {WHERE} keeps none"

_INSTEAD = (
    "start a new chat, or send the whole conversation as input (in LiteLLM's Playground: turn "
    '"API session management" off)'
)


def why_unknown(field: str, settings: DeploymentSettings) -> str:
    """Return what a 400 says of a response that nobody knows.

    Args:
        field: The field that names it.
        settings: Those that hold for the request.
    """
    why = _UNKNOWN if settings.remember_responses else f"{_UNKNOWN}; {_NOT_KEPT}"
    if field == CONTINUED:
        why = f"{why}; {_INSTEAD}"
    return with_mode(f"{field}: {why}", "observe", "passes it on as it is")


def bad_request(reason: str, param: str) -> dict[str, Any]:
    """Return the body of a 400.

    Args:
        reason: What is wrong.
        param: The field that it is about.
    """
    fields = {"type": "invalid_request_error", "param": param, "code": 400}
    return {"error": {"message": f"role guard: {reason}", **fields}}


class UnknownResponse(CallPart):
    """Answers for a backend that does not know the earlier response.

    LiteLLM takes a deployment that answers 404 out of use for a while, for everybody.

    Args:
        why: What the 400 says.
    """

    def __init__(self, why: str) -> None:
        self._why = why

    async def on_error(self, error: httpx.HTTPStatusError, arguments: Mapping[str, Any]) -> None:
        """Raise a 400 in place of a 404 that names the earlier response."""
        if error.response.status_code != 404:
            return
        body = arguments.get("json")
        named = body.get(CONTINUED) if isinstance(body, Mapping) else None
        if not named or str(named) not in error_message(await error_body(error)):
            return
        explained = bad_request(self._why, CONTINUED)
        response = httpx.Response(400, json=explained, request=error.request)
        words = explained["error"]["message"]
        raise httpx.HTTPStatusError(words, request=error.request, response=response) from None
