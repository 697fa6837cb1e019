"""A 400 that explains, in place of a 404 for an unknown earlier response."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from .call_part import CallPart
from .error_body import error_body, error_message

WHY = (
    "role guard: neither the backend nor the guard knows the response that previous_response_id "
    "names: it was given to another key or by another worker of the proxy, or before a restart, or "
    "is too old; start a new chat, or send the whole conversation as input (in LiteLLM's "
    'Playground: turn "API session management" off)'
)


class UnknownResponse(CallPart):
    """Answers for a backend that does not know the earlier response.

    LiteLLM takes a deployment that answers 404 out of use for a while, for everybody.

    Args:
        why: What the 400 says.
    """

    def __init__(self, why: str = WHY) -> None:
        self._why = why

    async def on_error(self, error: httpx.HTTPStatusError, arguments: Mapping[str, Any]) -> None:
        """Raise a 400 in place of a 404 that names the earlier response."""
        if error.response.status_code != 404:
            return
        body = arguments.get("json")
        named = body.get("previous_response_id") if isinstance(body, Mapping) else None
        if not named or str(named) not in error_message(await error_body(error)):
            return
        fields = {"type": "invalid_request_error", "param": "previous_response_id", "code": 400}
        body = {"error": {"message": self._why, **fields}}
        response = httpx.Response(400, json=body, request=error.request)
        raise httpx.HTTPStatusError(self._why, request=error.request, response=response) from None
