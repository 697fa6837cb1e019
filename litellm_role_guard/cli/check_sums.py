"""What becomes of the conversations of a file, in sums."""

from __future__ import annotations

from collections import Counter

import click

from ..batch.checking import CheckedRow
from ..batch.verdict import Outcome

_OUTCOMES: tuple[Outcome, ...] = ("fine", "lost", "wrong", "refused")

_REFUSALS_SHOWN = 5
_REFUSALS_KEPT = 1000
_WORDS_CHARS = 100


class CheckSums:
    """Counts checked rows, or prints each as JSON.

    Args:
        name: What the file is called.
        as_json: Whether each row is printed.
        keep_going: Whether a bad row is reported, and no reason to stop.
    """

    def __init__(self, name: str, *, as_json: bool, keep_going: bool) -> None:
        self.as_json = as_json
        self._name = name
        self._keep_going = keep_going
        self._before: Counter[Outcome] = Counter()
        self._after: Counter[Outcome] = Counter()
        self._changes: Counter[str] = Counter()
        self._refusals: Counter[str] = Counter()
        self._repaired = self._others = self._bad = 0

    @property
    def all_fine(self) -> bool:
        """Whether every row is a conversation that is taken and read right."""
        return not self._bad and set(self._before) <= {"fine"}

    def add(self, row: CheckedRow) -> None:
        """Count a row.

        Raises:
            BadInput: It is bad, and that is a reason to stop.
        """
        if row.bad is not None:
            if not self._keep_going:
                raise row.bad.within(self._name)
            click.echo(str(row.bad.within(self._name)), err=True)
            self._bad += 1
            return
        if row.told is not None:
            click.echo(row.told)
        if row.before is None or row.after is None:
            self._others += 1
            return
        self._before[row.before] += 1
        self._after[row.after] += 1
        self._repaired += bool(row.changes)
        self._changes.update(row.changes)
        if row.refusal is not None:
            words = _line(row.refusal)
            # A template may put a client's words into its own.
            if words in self._refusals or len(self._refusals) < _REFUSALS_KEPT:
                self._refusals[words] += 1

    def print(self) -> None:
        """Print the sums."""
        total = sum(self._before.values())
        click.echo(f"{self._name}: {total:,} conversation{'s' * (total != 1)}")
        click.echo(f"as they are: {_counts(self._before)}")
        click.echo(f"repaired:    {_counts(self._after)}")
        if self._changes:
            changes = ", ".join(f"{what} {count:,}" for what, count in self._changes.most_common())
            click.echo(f"the repair changes {self._repaired:,}: {changes}")
        for words, count in self._refusals.most_common(_REFUSALS_SHOWN):
            click.echo(f"refused {count:,} time{'s' * (count != 1)}: {words}")
        if self._others:
            click.echo(f"{self._others:,} lines are no conversations (embeddings, completions)")
        if self._bad:
            click.echo(f"{self._bad:,} lines are bad and were left out")


def _counts(outcomes: Counter[Outcome]) -> str:
    return ", ".join(f"{outcomes[outcome]:,} {outcome}" for outcome in _OUTCOMES)


def _line(words: str) -> str:
    shown = "".join(each if each.isprintable() else " " for each in " ".join(words.split()))
    return shown[:_WORDS_CHARS]
