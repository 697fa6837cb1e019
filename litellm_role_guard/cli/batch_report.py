"""What people see of a batch: a bar on a terminal, JSON lines elsewhere; all on standard error."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import click

from ..batch.inspection import Inspection
from ..batch.job import Ending
from ..batch.sending.dispatcher import Dispatcher
from ..batch.sending.pace import Pace
from ..batch.tally import Tally


class Reporter:
    """Prints nothing but what follows from it; the base of those that print."""

    seconds = 1.0
    """How often `tick` is called."""

    def __init__(self) -> None:
        self._running: tuple[Tally, Pace, Dispatcher] | None = None

    def inspecting(self, count: int) -> None:
        """Note how many requests of the input were looked at."""

    def begins(
        self, tally: Tally, pace: Pace, dispatcher: Dispatcher, inspection: Inspection | None
    ) -> None:
        """Note that requests are sent from now on."""
        self._running = (tally, pace, dispatcher)
        if tally.before:
            self.note(f"{tally.before} were answered before and are not asked again")
        if inspection is not None and inspection.ignored:
            names = ", ".join(sorted(inspection.ignored)[:8])
            self.note(f"fields of the lines that are not sent: {names}")

    def note(self, words: str) -> None:
        """Print a line."""

    async def watch(self) -> None:
        """Call `tick` again and again."""
        while True:
            await asyncio.sleep(self.seconds)
            if self._running is not None:
                self.tick(*self._running)

    def tick(self, tally: Tally, pace: Pace, dispatcher: Dispatcher) -> None:
        """Print how far it is."""

    def summary(self, tally: Tally, ending: Ending, waiting: int) -> None:
        """Print the sums.

        Args:
            tally: What came of it.
            ending: How it ended.
            waiting: How many answers stand in the journal only.
        """

    def close(self) -> None:
        """Leave the terminal as it was."""


class JsonReporter(Reporter):
    """Prints JSON, an object on each line."""

    seconds = 10.0

    def note(self, words: str) -> None:
        """Print a line."""
        self._print({"note": words})

    def tick(self, tally: Tally, pace: Pace, dispatcher: Dispatcher) -> None:
        """Print how far it is."""
        now = {"in_flight": pace.in_flight, "limit": pace.limit, "tried_again": dispatcher.retried}
        self._print({"progress": {**tally.as_json(), **now}})

    def summary(self, tally: Tally, ending: Ending, waiting: int) -> None:
        """Print the sums."""
        in_journal = {"waiting_in_journal": waiting} if waiting else {}
        self._print({"summary": {"ending": ending, **tally.as_json(), **in_journal}})

    def _print(self, value: dict[str, Any]) -> None:
        click.echo(json.dumps(value, ensure_ascii=False), err=True)


class BarReporter(Reporter):
    """Draws a bar, and prints sums for people."""

    seconds = 0.25

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        super().__init__()
        self._console = Console(stderr=True)
        self._bar = Progress(
            BarColumn(bar_width=24),
            TextColumn("{task.description}"),
            console=self._console,
            transient=True,
        )
        self._task = self._bar.add_task("reading", total=None)
        self._bar.start()

    def inspecting(self, count: int) -> None:
        """Show how many requests of the input were looked at."""
        if count % 1000 == 0:
            self._bar.update(self._task, description=f"reading: {count:,}")

    def note(self, words: str) -> None:
        """Print a line above the bar."""
        self._console.print(words, markup=False, highlight=False)

    def tick(self, tally: Tally, pace: Pace, dispatcher: Dispatcher) -> None:
        """Draw how far it is."""
        described = _described(tally, pace, dispatcher)
        self._bar.update(self._task, completed=tally.done, total=tally.total, description=described)

    def summary(self, tally: Tally, ending: Ending, waiting: int) -> None:
        """Print the sums."""
        for line in summary_lines(tally, ending, waiting):
            self.note(line)

    def close(self) -> None:
        """Take the bar away."""
        self._bar.stop()


def reporter_for(*, quiet: bool) -> Reporter:
    """Return what reports to this process's standard error."""
    if quiet:
        return Reporter()
    return BarReporter() if sys.stderr.isatty() else JsonReporter()


def _described(tally: Tally, pace: Pace, dispatcher: Dispatcher) -> str:
    of = "" if tally.total is None else f"/{tally.total:,}"
    parts = [f"{tally.done:,}{of}", f"{tally.rate:.1f}/s"]
    parts.append(f"{_short(tally.prompt_tokens)} + {_short(tally.completion_tokens)} tokens")
    parts.append(f"{pace.in_flight} under way")
    if pace.limit < pace.most:
        parts.append(f"at most {pace.limit}, the server sheds load")
    if dispatcher.retried:
        parts.append(f"{dispatcher.retried:,} tried again")
    if tally.failed:
        parts.append(f"[red]{tally.failed:,} failed[/red]")
    if tally.total is not None and tally.done > tally.before:
        parts.append(f"{_clock((tally.total - tally.done) / tally.rate)} left")
    return " · ".join(parts)


def summary_lines(tally: Tally, ending: Ending, waiting: int) -> list[str]:
    """Return the sums for people.

    Args:
        tally: What came of it.
        ending: How it ended.
        waiting: How many answers stand in the journal only.
    """
    of = "" if tally.total is None else f" of {tally.total:,}"
    before = f", {tally.before:,} of them before" if tally.before else ""
    lines = [
        f"{tally.answered:,}{of} answered, {tally.failed:,} failed{before}; "
        f"{_clock(tally.seconds)}, {tally.rate:.1f} a second",
        f"tokens: {tally.prompt_tokens:,} read, {tally.completion_tokens:,} written",
    ]
    if tally.errors:
        lines.append("errors: " + _counts(tally.errors))
    if tally.sent_again:
        tries = {f"{tries} tries": count for tries, count in sorted(tally.tries.items())}
        lines.append(f"sent again: {tally.sent_again:,} ({_counts(tries)})")
    if tally.repaired:
        lines.append(f"repaired by the guard: {tally.repaired:,} ({_counts(tally.changes)})")
    if ending == "drained":
        lines.append("stopped before the end; the same command goes on")
    if ending == "given_up":
        lines.append("given up after too many failures; the same command goes on")
    if waiting:
        lines.append(f"{waiting:,} answers wait in the journal for one that stands before them")
    return lines


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name}: {count:,}" for name, count in counts.items())


def _short(count: int) -> str:
    for unit, size in (("M", 1_000_000), ("k", 1000)):
        if count >= 10 * size:
            return f"{count / size:,.0f}{unit}"
    return str(count)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
