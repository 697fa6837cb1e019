"""Tables of a checkup, for people."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..diagnosis.finding import Finding, Severity
from .checkup import Checkup

_STYLES: Mapping[Severity, str] = {"fatal": "bold red", "error": "red", "warning": "yellow"}

_MEANINGS: Mapping[Severity, str] = {
    "fatal": "the proxy does not start",
    "error": "requests fail, or are not guarded",
    "warning": "it works, but not as it is written",
}


def print_checkup(checkup: Checkup, console: Console) -> None:
    """Print what was found out, and what to write instead of what is wrong.

    Args:
        checkup: What was found out.
        console: Where to print it.
    """
    console.print(Text(checkup.source, style="bold"))
    console.print(_facts(checkup.about))
    console.print(Text(checkup.coverage.line().partition(": ")[2], style="bold"))
    for report in checkup.backends:
        console.print(Text(f"\n{report.name}", style="bold"))
        console.print(_facts(report.facts))
    console.print()
    if not checkup.findings:
        console.print(Text("Nothing is wrong.", style="green"))
    for finding in checkup.findings:
        _print_finding(finding, checkup, console)
    if checkup.findings:
        worst = checkup.findings[0].severity
        console.print(Text(f"{worst}: {_MEANINGS[worst]}", style="dim"))


def _facts(facts: Mapping[str, str]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for name, fact in facts.items():
        table.add_row(f"  {name}", Text(fact))
    return table


def _print_finding(finding: Finding, checkup: Checkup, console: Console) -> None:
    place = checkup.config.place(finding.path)
    where = finding.where + (f" ({place})" if place else "")
    severity = (f"{finding.severity:9}", _STYLES[finding.severity])
    if where:
        lines = [Text.assemble(severity, (where, "bold")), Text(f"         {finding.what}")]
    else:  # a version stands nowhere in the config
        lines = [Text.assemble(severity, finding.what)]
    if finding.write:
        lines.append(Text.assemble(("  write  ", "dim"), (finding.write, "green")))
    # A line to write is one line, to be copied, however narrow the terminal is.
    console.print(*lines, "", sep="\n", soft_wrap=True)
