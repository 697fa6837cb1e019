"""The words of a backend's error."""

from __future__ import annotations

import json
from collections.abc import Mapping

import httpx

MAX_CHARS = 2**19
"""How long the JSON of an error may be. The parser takes a tenth of a second for the worst."""


async def error_body(error: httpx.HTTPStatusError) -> str:
    """Return the text of an error's response; empty where it cannot be read."""
    # Reading a refused stream to its end and closing it gives its connection back to the pool.
    try:
        await error.response.aread()
        return error.response.text
    except (httpx.HTTPError, httpx.StreamError, UnicodeDecodeError):
        return ""
    finally:
        await error.response.aclose()


def error_message(body: str) -> str:
    """Return the message of an error's body; the body itself where it has none, or is too long.

    The rest of a body is no refusal of the conversation: it may repeat what the client sent.
    """
    if len(body) > MAX_CHARS:
        return body
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        return body
    if not isinstance(fields, Mapping):
        return body
    error = fields.get("error")
    # Older vLLM has the error's fields at the top.
    message = (error if isinstance(error, Mapping) else fields).get("message")
    return message if isinstance(message, str) else body
