"""The table of docs/agents.md, of which a run writes the agents that it has tried anew."""

from __future__ import annotations

from pathlib import Path

from ..pages import read_section, table, write_section
from .program import version_of
from .trial import Trial
from .world import MODELS

_SECTION = "agents"
_HEAD = ("agent", "endpoint", "its longest request", *MODELS)
_PATHS = {
    "chat": "`/v1/chat/completions`",
    "messages": "`/v1/messages`",
    "responses": "`/v1/responses`",
}


class Table:
    """What was seen so far.

    Args:
        page: The page that has the table.
    """

    def __init__(self, page: Path) -> None:
        self._page = page

    def add(self, trial: Trial) -> None:
        """Write what came of a trial into its cell; nothing stays of another version."""
        client = trial.client
        begin = [f"{client.title} {version_of(client.name)}", _PATHS[client.endpoint]]
        rows = [row for row in self._rows() if not _other_version(row, begin)]
        row = next((row for row in rows if row[:2] == begin), None)
        if row is None:
            row = [*begin, "", *("" for _ in MODELS)]
            rows.append(row)
        row[2] = max(row[2], f"`{trial.sends}`", key=len)
        row[3 + MODELS.index(trial.model)] = trial.cell()
        write_section(_SECTION, table(_HEAD, sorted(rows)), self._page)

    def _rows(self) -> list[list[str]]:
        lines = read_section(_SECTION, self._page).splitlines()[2:]
        return [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]


def _other_version(row: list[str], begin: list[str]) -> bool:
    """Return whether a row is of the same agent on the same endpoint in another version."""
    agents = [each[0].rpartition(" ")[0] for each in (row, begin)]
    return agents[0] == agents[1] and row[1] == begin[1] and row[0] != begin[0]
