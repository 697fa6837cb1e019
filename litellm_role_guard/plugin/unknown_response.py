"""A 400 that explains, in place of a 404 for an unknown earlier response."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from .error_body import error_body, error_message


async def explain_unknown(
    error: httpx.HTTPStatusError, kwargs: Mapping[str, Any], why: str
) -> None:
    """Raise a 400 in place of a 404 that is about the earlier response which a call names."""
    body = kwargs.get("json")
    named = body.get("previous_response_id") if isinstance(body, Mapping) else None
    if not named or str(named) not in error_message(await error_body(error)):
        return
    told = {"message": why, "type": "invalid_request_error", "param": "previous_response_id"}
    response = httpx.Response(400, json={"error": {**told, "code": 400}}, request=error.request)
    raise httpx.HTTPStatusError(why, request=error.request, response=response) from None
