"""What a row of a file asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
EMBEDDINGS = "/v1/embeddings"
COMPLETIONS = "/v1/completions"

ENDPOINTS = (CHAT, RESPONSES, EMBEDDINGS, COMPLETIONS)
"""Where an OpenAI batch line may go."""


@dataclass(frozen=True)
class LineRequest:
    """What one row asks for.

    Attributes:
        body: The fields of the request's body that the row has.
        url: The path of the endpoint, one of `ENDPOINTS`.
        custom_id: Its name, if the row has one.
        ignored: The names of the row's other fields, which are not sent.
    """

    body: Mapping[str, Any]
    url: str = CHAT
    custom_id: str | None = None
    ignored: frozenset[str] = frozenset()
