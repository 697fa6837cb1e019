"""An attempt to repair a refused call, prepared by a test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Lessons:
    """An attempt that gives prepared fields after each refusal."""

    def __init__(self, *fields: Mapping[str, Any] | Exception | None) -> None:
        self.fields = list(fields)
        self.asked = self.failures = 0
        self.ended: list[bool] = []
        self.words: list[str] = []

    async def after_refusal(self, words: str, body: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Give the next fields."""
        self.asked += 1
        self.words.append(words)
        fields = self.fields.pop(0)
        if isinstance(fields, Exception):
            raise fields
        return fields

    def finished(self, *, answered: bool) -> None:
        """Note that it ended."""
        self.ended.append(answered)

    def failed(self) -> None:
        """Note a failure."""
        self.failures += 1
