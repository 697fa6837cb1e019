"""Tables of what becomes of conversations, for people."""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..batch.verdict import Checked, Outcome, Verdict
from ..messages.message import (
    Message,
    call_arguments,
    call_name,
    content_parts,
    part_text,
    tool_calls,
)
from ..template.misreading import Misreading
from ..template.prompt_reading import MessageReading, State

_STYLES: Mapping[Outcome | State, str] = {
    "fine": "green",
    "read": "green",
    "moved": "yellow",
    "lost": "yellow",
    "wrong": "yellow",
    "refused": "red",
}

_EXCERPT_CHARS = 60

_DIFF_STYLES = {"+": "green", "-": "red"}


def print_checks(
    checks: Sequence[Checked], source: str, console: Console, *, diff: bool = False
) -> None:
    """Print what becomes of each conversation, and what the repair changes.

    Args:
        checks: The conversations.
        source: The name of their file.
        console: Where to print it.
        diff: Whether to print the messages before and after the repair, too.
    """
    for checked in checks:
        line = checked.conversation.line
        name = source if line is None else f"{source}:{line}"
        # Whatever the width: who looks for an error's words in a pipe would not find them.
        console.print(_outcome(name, checked.verdict), soft_wrap=True)
        if checked.verdict.outcome != "fine" or len(checks) == 1:
            console.print(_table(checked))
            _print_repair(checked, console)
        if diff and checked.repair.changes:
            for change in _diff(checked):
                style = _DIFF_STYLES.get(change[:1], "")
                console.print(Text(change, style=style), soft_wrap=True)
    if len(checks) > 1:
        counts = Counter(checked.verdict.outcome for checked in checks)
        outcomes: tuple[Outcome, ...] = ("fine", "lost", "wrong", "refused")
        summary = ", ".join(f"{counts[outcome]} {outcome}" for outcome in outcomes)
        console.print(f"{len(checks)} conversations: {summary}")


def _outcome(name: str, verdict: Verdict) -> Text:
    words = {
        "fine": "fine: taken, and read whole",
        "lost": "lost: taken, but some of it is not read where it was said",
        "wrong": "wrong: taken whole, but some of it is read as something else than what was said",
        "refused": f"refused: {_line(verdict.refusal or '')}",
    }
    return Text.assemble((name, "bold"), ": ", (words[verdict.outcome], _STYLES[verdict.outcome]))


def _table(checked: Checked) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("#", justify="right")
    table.add_column("role", no_wrap=True)
    table.add_column("message")
    table.add_column("read")
    table.add_column("the repair")
    messages = checked.conversation.messages
    readings: Sequence[MessageReading | None] = checked.verdict.messages or [None] * len(messages)
    for at, (message, reading) in enumerate(zip(messages, readings, strict=True)):
        wrong = [each for each in checked.verdict.wrong if each.message == at]
        done = [change.what for change in checked.repair.changes if at in change.messages]
        table.add_row(
            str(at),
            Text(message["role"]),
            Text(_excerpt(_said(message))),
            _read(message, reading, wrong),
            ", ".join(dict.fromkeys(done)),
        )
    return table


def _read(message: Message, reading: MessageReading | None, wrong: Sequence[Misreading]) -> Text:
    if reading is None:
        return Text("")
    cell = Text(reading.state, style=_STYLES[reading.state])
    if reading.state == "read":
        cell.append(" (may stand anywhere)" if reading.leading else "", style="dim")
    elif len(list(content_parts(message))) > 1 or tool_calls(message):
        cell.append(": " + ", ".join(map(_excerpt, reading.missing)))
    if wrong:
        cell.append(", but " + ", ".join(_line(each.why) for each in wrong), style=_STYLES["wrong"])
    return cell


def _print_repair(checked: Checked, console: Console) -> None:
    if not checked.repair.changes:
        console.print("The repair changes nothing.")
        return
    console.print("The repair:")
    for change in checked.repair.changes:
        where = ", ".join(f"#{at}" for at in change.messages)
        console.print(Text(f"  {change.what} {where}: {change.why}"), soft_wrap=True)
    console.print(_outcome("and then", checked.repaired), soft_wrap=True)
    for each in checked.repaired.wrong:
        console.print(Text(f"  #{each.message} of what is sent: read, but {_line(each.why)}"))


def _diff(checked: Checked) -> Iterator[str]:
    before, after = checked.conversation.messages, checked.repair.messages
    yield from difflib.unified_diff(
        list(map(_as_line, before)), list(map(_as_line, after)), "before", "after", lineterm="", n=1
    )


def _as_line(message: Message) -> str:
    return json.dumps(message, ensure_ascii=False)


def _said(message: Message) -> str:
    said = [_part(part) for part in content_parts(message)]
    said += [f"{call_name(call)}({call_arguments(call)})" for call in tool_calls(message)]
    return " | ".join(filter(None, said))


def _part(part: Any) -> str:
    text = part_text(part)
    return f"[{part.get('type')}]" if text is None else text


def _excerpt(text: str) -> str:
    line = _line(text)
    return line if len(line) <= _EXCERPT_CHARS else line[: _EXCERPT_CHARS - 3] + "..."


def _line(text: str) -> str:
    # What is not printable could move the cursor, or worse.
    return "".join(each if each.isprintable() else " " for each in " ".join(text.split()))
