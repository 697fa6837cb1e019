"""Reading the answer of a backend that may mean harm: no more of it than there is reason for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

MAX_BYTES = 16 * 2**20
"""How long an answer may be. The tokens of a prompt of a million tokens take half of that."""

MAX_VALUES = 2**20
"""How many values the JSON of an answer may have: the tokens of a prompt of a million. They take
the parser, and so the event loop, a tenth of a second."""

MAX_FIELDS = 2**16
"""How many lists, objects and fields of objects it may have, which take ten times as long."""

_TOLD = ("content-type", "date")


class AnswerTooLong(Exception):  # noqa: N818 - named like LearningFailed
    """A backend's answer is packed or longer than allowed; `str()` says which."""


def has_few_values(content: bytes) -> bool:
    """Return whether JSON may be parsed where others wait: it has no countless values.

    Args:
        content: The JSON, of `MAX_BYTES` at most.
    """
    if _are_few(content):
        return True
    if content.count(b'"') > MAX_VALUES:
        return False
    # A text has brackets and commas that are no values.
    bare = content.replace(rb"\\", b"").replace(rb"\"", b"")
    return _are_few(b"".join(bare.split(b'"')[::2]))


def _are_few(json: bytes) -> bool:
    fields = sum(map(json.count, (b"[", b"{", b":")))
    return fields <= MAX_FIELDS and json.count(b",") <= MAX_VALUES


async def read_answer(
    client: httpx.AsyncClient,
    method: str,
    url: str,
    *,
    body: Mapping[str, Any] | None = None,
    headers: Mapping[str, str],
    seconds: float,
    max_bytes: int = MAX_BYTES,
) -> httpx.Response:
    """Return a backend's answer, read to its end.

    It goes where it is sent: a redirect is an answer, since the headers may hold a secret. It is
    asked for unpacked, since a few packed bytes may stand for any number.

    Args:
        client: The connections to use.
        method: The HTTP method.
        url: The whole address.
        body: What to send as JSON.
        headers: The headers.
        seconds: How long each piece of the answer may take.
        max_bytes: How long the answer may be.

    Raises:
        AnswerTooLong: It is packed all the same, or too long.
        httpx.HTTPError: The backend cannot be reached.
        httpx.InvalidURL: Its address is none.
    """
    plain = httpx.Headers(headers)
    plain["Accept-Encoding"] = "identity"
    request = client.stream(
        method, url, json=body, headers=plain, timeout=seconds, follow_redirects=False
    )
    async with request as answer:
        if answer.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
            raise AnswerTooLong("the answer is packed, and was asked for unpacked")
        content = bytearray()
        async for piece in answer.aiter_bytes():
            content += piece
            if len(content) > max_bytes:
                raise AnswerTooLong(f"the answer is longer than {max_bytes} bytes")
    return httpx.Response(
        answer.status_code,
        headers=[pair for pair in answer.headers.multi_items() if pair[0].lower() in _TOLD],
        content=bytes(content),
        request=answer.request,
    )
