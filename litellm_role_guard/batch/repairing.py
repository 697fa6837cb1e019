"""The rows of a file, repaired for a template."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ..profile.template_profile import TemplateProfile
from .conversation import conversation_of
from .errors import BadInput
from .formats.json_text import dumped
from .formats.line_formats import LineFormat
from .formats.reader import asked_by
from .formats.source import Row


class RepairedRow(NamedTuple):
    """What became of a row.

    Attributes:
        written: The row as JSON on a line, repaired; None where it is bad.
        changes: What was done, once for each change.
        bad: Why it is no conversation, with its line.
    """

    written: bytes | None
    changes: tuple[str, ...] = ()
    bad: BadInput | None = None


@dataclass(frozen=True)
class RepairRows:
    """Repairs rows.

    Attributes:
        profile: What the template accepts.
    """

    profile: TemplateProfile

    def __call__(self, line_format: LineFormat, rows: list[Row]) -> list[RepairedRow]:
        """Return what becomes of each row; a bad one is returned as such."""
        return [self._repaired(line_format, row) for row in rows]

    def _repaired(self, line_format: LineFormat, row: Row) -> RepairedRow:
        try:
            row = Row(row.line, row.value())
            conversation = conversation_of(asked_by(row, line_format), row.line)
        except BadInput as error:
            return RepairedRow(None, bad=error)
        value = row.written
        if conversation is None:
            return RepairedRow(dumped(value))
        done = conversation.repaired(self.profile)
        if done.changes:
            value = line_format.write(value, conversation.fields(done.messages))
        return RepairedRow(dumped(value), tuple(change.what for change in done.changes))
