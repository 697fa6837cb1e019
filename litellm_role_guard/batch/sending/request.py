"""A request of a batch, and what came of it."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ANSWERED = 200


@dataclass(frozen=True)
class BatchRequest:
    """One request of a batch.

    Attributes:
        number: Its place in the input, counted from 0.
        custom_id: Its name.
        url: The path of the endpoint, such as `/v1/chat/completions`.
        body: The whole body.
    """

    number: int
    custom_id: str
    url: str
    body: Mapping[str, Any]

    def digest(self) -> int:
        """Return 63 bits that tell what is asked from everything else that could be."""
        asked = json.dumps([self.custom_id, self.url, self.body], sort_keys=True)
        return int.from_bytes(hashlib.blake2b(asked.encode(), digest_size=8).digest(), "big") >> 1


@dataclass(frozen=True)
class BatchResult:
    """What came of one request.

    Attributes:
        number: The request's place in the input, counted from 0.
        custom_id: Its name.
        status: The HTTP status of the last try; None where no answer came.
        body: The answer, or the error's body.
        error: Why it was not answered, in one line; None if it was.
        request_id: What the server calls it.
        tries: How often it was sent.
        changes: How many changes of each kind the guard made.
        digest: As `BatchRequest.digest` returns it.
    """

    number: int
    custom_id: str
    status: int | None
    body: Any = None
    error: str | None = None
    request_id: str | None = None
    tries: int = 1
    changes: Mapping[str, int] = field(default_factory=Counter)
    digest: int = 0

    @property
    def answered(self) -> bool:
        """Whether the model answered."""
        return self.error is None

    @property
    def text(self) -> str | None:
        """The answer's text, of embeddings their numbers as JSON; None where there is none."""
        return answer_text(self.body) if self.answered else None

    def line(self) -> dict[str, Any]:
        """Return it as a line of OpenAI's batch output.

        Source: OpenAI's API reference, "The request output object"; vLLM `run_batch.py`. An error
        with a status stands in both places, where either of them puts it.
        """
        response = error = None
        request_id = self.request_id or ""
        if self.status is not None:
            response = {"status_code": self.status, "request_id": request_id, "body": self.body}
        if self.error is not None:
            code = "no_answer" if self.status is None else str(self.status)
            error = {"code": code, "message": self.error}
        identity = hashlib.blake2b(f"{self.number} {self.custom_id}".encode(), digest_size=12)
        return {
            "id": f"batch_req_{identity.hexdigest()}",
            "custom_id": self.custom_id,
            "response": response,
            "error": error,
        }


def answer_text(body: Any) -> str | None:
    """Return the text of an answer's body; None where it has none."""
    if not isinstance(body, Mapping):
        return None
    if isinstance(choices := body.get("choices"), list) and choices:
        choice = choices[0]
        message = choice.get("message")
        text = message.get("content") if isinstance(message, Mapping) else choice.get("text")
        return text if isinstance(text, str) else None
    if isinstance(output := body.get("output"), list):
        parts = [part for item in output for part in item.get("content") or ()]
        return "".join(str(part["text"]) for part in parts if part.get("type") == "output_text")
    if isinstance(data := body.get("data"), list) and data:
        return json.dumps(data[0].get("embedding"))
    return None


def token_counts(body: Any) -> tuple[int, int]:
    """Return how many tokens an answer's prompt and its completion have."""
    usage = body.get("usage") if isinstance(body, Mapping) else None
    if not isinstance(usage, Mapping):
        return 0, 0
    read = usage.get("prompt_tokens", usage.get("input_tokens"))
    said = usage.get("completion_tokens", usage.get("output_tokens"))
    return (
        read if isinstance(read, int) else 0,
        said if isinstance(said, int) else 0,
    )
