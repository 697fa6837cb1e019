"""The rows of a file as whole requests: the model, the parameters, a system message."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .conversation import conversation_of
from .errors import BadInput
from .formats.line_formats import SHAREGPT
from .formats.reader import InputFile, asked_by
from .formats.request import CHAT, EMBEDDINGS, RESPONSES, LineRequest
from .sending.request import BatchRequest

_OF_STREAMS = ("stream", "stream_options")


@dataclass(frozen=True)
class Asking:
    """What is asked for all rows alike; what a row says itself wins, but for the model.

    Attributes:
        model: The model, or model group; None for that of each row.
        system: A system message for every conversation that begins without one.
        params: Fields of every body.
        max_tokens: How many tokens an answer may have, in the words of each endpoint.
        temperature: The temperature of everything but embeddings.
    """

    model: str | None = None
    system: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    max_tokens: int | None = None
    temperature: float | None = None

    def settings(self) -> dict[str, Any]:
        """Return what tells this from other ways to ask the same rows, as data for JSON."""
        given = {
            "model": self.model,
            "system": self.system,
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "params": dict(self.params),
        }
        return {name: value for name, value in given.items() if value not in (None, {})}

    def request(
        self, number: int, asked: LineRequest, line: int | None, *, is_dialogue: bool = False
    ) -> BatchRequest:
        """Return the whole request of a row.

        Args:
            number: The row's place among all, counted from 0.
            asked: What it asks for.
            line: Its line, for errors.
            is_dialogue: Whether it is a whole dialogue, whose last answer is what is asked for.

        Raises:
            BadInput: It cannot be asked.
        """
        conversation_of(asked, line)
        body = {**self.params, **self._sampling(asked.url), **asked.body}
        for name in _OF_STREAMS:
            body.pop(name, None)
        if is_dialogue:
            body["messages"] = _up_to_the_last_question(body["messages"], line)
        if self.system is not None:
            body |= _with_system(body, asked.url, self.system)
        model = self.model or body.get("model")
        if not isinstance(model, str) or not model:
            raise BadInput("no model: name one with --model, or in the line", line)
        custom_id = asked.custom_id or f"request-{number + 1}"
        return BatchRequest(number, custom_id, asked.url, {**body, "model": model})

    def _sampling(self, url: str) -> dict[str, Any]:
        if url == EMBEDDINGS:
            return {}
        limit = "max_output_tokens" if url == RESPONSES else "max_tokens"
        given = {limit: self.max_tokens, "temperature": self.temperature}
        return {name: value for name, value in given.items() if value is not None}


def requests_of(
    file: InputFile, asking: Asking, *, ignored: set[str] | None = None
) -> Iterator[BatchRequest]:
    """Yield the requests of a file.

    Args:
        file: The file.
        asking: How its rows are asked.
        ignored: Takes the names of fields that are not sent.

    Raises:
        BadInput: The file, or a row, cannot be asked.
    """
    line_format, rows = file.open()
    is_dialogue = line_format is SHAREGPT
    for number, row in enumerate(rows):
        try:
            asked = asked_by(row, line_format)
            if ignored is not None:
                ignored.update(asked.ignored)
            request = asking.request(number, asked, row.line, is_dialogue=is_dialogue)
        except BadInput as error:
            raise error.within(file.name) from error
        yield request


def _with_system(body: Mapping[str, Any], url: str, system: str) -> dict[str, Any]:
    if url == RESPONSES:
        return {} if body.get("instructions") else {"instructions": system}
    if url != CHAT or body["messages"][0]["role"] in ("system", "developer"):
        return {}
    return {"messages": [{"role": "system", "content": system}, *body["messages"]]}


def _up_to_the_last_question(messages: Sequence[Any], line: int | None) -> list[Any]:
    asked = list(messages)
    while asked and asked[-1]["role"] == "assistant":
        asked.pop()
    if not asked:
        raise BadInput("conversations: nothing is asked, all turns are answers", line)
    return asked
