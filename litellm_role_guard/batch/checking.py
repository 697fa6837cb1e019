"""The rows of a file, checked against a template or a live vLLM."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from ..profile.template_profile import TemplateProfile
from ..template.chat_template import ChatTemplate
from .conversation import FileConversation, conversation_of
from .errors import BadInput
from .formats.line_formats import LineFormat
from .formats.reader import InputFile, asked_by
from .formats.source import Row
from .verdict import Ask, Checked, Outcome, asking_template, check


class CheckedRow(NamedTuple):
    """What becomes of a row.

    Attributes:
        before: What becomes of it as it is; None where it is bad, or no conversation.
        after: What becomes of it repaired.
        changes: What the repair does, once for each change.
        refusal: The words of the refusal.
        told: All of it as JSON on a line, where that is wanted.
        bad: Why it is no conversation, with its line.
    """

    before: Outcome | None = None
    after: Outcome | None = None
    changes: tuple[str, ...] = ()
    refusal: str | None = None
    told: str | None = None
    bad: BadInput | None = None


@dataclass(frozen=True)
class CheckRows:
    """Checks rows against a template.

    Attributes:
        template: The template.
        profile: What it accepts.
        as_json: Whether all of it is wanted as JSON.
        diff: Whether the repaired messages are wanted there, too.
    """

    template: ChatTemplate
    profile: TemplateProfile
    as_json: bool = False
    diff: bool = False

    def __call__(self, line_format: LineFormat, rows: list[Row]) -> list[CheckedRow]:
        """Return what becomes of each row; a bad one is returned as such."""
        return asyncio.run(self._checked(line_format, rows))

    async def _checked(self, line_format: LineFormat, rows: list[Row]) -> list[CheckedRow]:
        ask = asking_template(self.template)
        return [
            await checked_row(
                row, line_format, ask, self.profile, as_json=self.as_json, diff=self.diff
            )
            for row in rows
        ]


async def checked_row(
    row: Row,
    line_format: LineFormat,
    ask: Ask,
    profile: TemplateProfile,
    *,
    as_json: bool = False,
    diff: bool = False,
) -> CheckedRow:
    """Return what becomes of a row.

    Args:
        row: The row.
        line_format: What it is.
        ask: Renders its conversation.
        profile: What the renderer accepts.
        as_json: Whether all of it is wanted as JSON.
        diff: Whether the repaired messages are wanted there, too.
    """
    try:
        conversation = conversation_of(asked_by(row, line_format), row.line)
    except BadInput as error:
        return CheckedRow(bad=error)
    if conversation is None:
        return CheckedRow()
    seen = await check(conversation, ask, profile)
    return CheckedRow(
        seen.verdict.outcome,
        seen.repaired.outcome,
        tuple(change.what for change in seen.repair.changes),
        seen.verdict.refusal,
        json.dumps(seen.as_json(diff=diff), ensure_ascii=False) if as_json else None,
    )


def conversations_in(file: InputFile) -> Iterator[FileConversation]:
    """Yield the conversations of a file.

    Raises:
        BadInput: It cannot be read, or a row is no conversation.
    """
    line_format, rows = file.open()
    for row in rows:
        try:
            conversation = conversation_of(asked_by(row, line_format), row.line)
            if conversation is None:
                raise BadInput("no conversation, but a text to complete or to embed", row.line)
        except BadInput as error:
            raise error.within(file.name) from error
        yield conversation


__all__ = ["CheckRows", "Checked", "CheckedRow", "checked_row", "conversations_in"]
