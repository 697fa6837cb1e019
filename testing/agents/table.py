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
        self._trials: dict[tuple[str, str], dict[str, Trial]] = {}

    def add(self, trial: Trial) -> None:
        """Take a trial; write the agent's row once it was tried on every model."""
        client = trial.client
        trials = self._trials.setdefault((client.title, client.endpoint), {})
        trials[trial.model] = trial
        if set(trials) == set(MODELS):
            row = _row(trials)
            rows = [old for old in self._old_rows() if not _same(old, row)]
            write_section(_SECTION, table(_HEAD, sorted([*rows, row])), self._page)

    def _old_rows(self) -> list[list[str]]:
        lines = read_section(_SECTION, self._page).splitlines()[2:]
        return [[cell.strip() for cell in line.strip("| ").split("|")] for line in lines]


def _row(trials: dict[str, Trial]) -> list[str]:
    any_trial = next(iter(trials.values()))
    client = any_trial.client
    sends = max((trial.sends for trial in trials.values()), key=len)
    cells = [trials[model].cell() for model in MODELS]
    title = f"{client.title} {version_of(client.name)}"
    return [title, _PATHS[client.endpoint], f"`{sends}`", *cells]


def _same(old: list[str], new: list[str]) -> bool:
    """Return whether two rows are of one agent, whatever its versions."""
    return old[0].rpartition(" ")[0] == new[0].rpartition(" ")[0] and old[1] == new[1]
