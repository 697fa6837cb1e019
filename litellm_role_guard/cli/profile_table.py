"""Tables of a profile, one for each field, for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..probing.evidence import Evidence, Finding, Learnt
from ..profile.rules import Rules

_STYLES: Mapping[Finding, str] = {
    "accepted": "green",
    "refused": "red",
    "not_read": "yellow",
    "unknown": "yellow",
    "yes": "cyan",
    "no": "default",
}


def print_table(learnt: Learnt, console: Console) -> None:
    """Print every answer of a profile with the conversation that proved it, and the cost.

    Args:
        learnt: The profile.
        console: Where to print it.
    """
    console.print(Text(learnt.source, style="bold"))
    same = learnt.profile.with_tools is None
    with_tools = "get the same answers" if same else "get another answer where two are given"
    console.print(
        f"{learnt.cost}. Requests with tools {with_tools}.",
        _legend(),
        sep="\n",
    )
    evidence = learnt.evidence()
    for field, info in Rules.model_fields.items():
        of_field = [proof for proof in evidence if proof.field == field]
        if of_field:
            console.print(Text.assemble("\n", (field, "bold"), "  ", info.description or ""))
            console.print(_table(of_field))


def _legend() -> Text:
    return Text.assemble(
        ("accepted", _STYLES["accepted"]),
        ": the model reads it. ",
        ("refused", _STYLES["refused"]),
        ": an error. ",
        ("not_read", _STYLES["not_read"]),
        ": taken, but some text is missing from the prompt or stands elsewhere. ",
        ("unknown", _STYLES["unknown"]),
        ": read, but in a turn that the template prints for any role.",
    )


def _table(evidence: Sequence[Evidence]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    with_shapes = any(proof.shape for proof in evidence)
    if with_shapes:
        table.add_column("shape", no_wrap=True)
    table.add_column("answer", no_wrap=True)
    table.add_column("proved by")
    plain = {proof.shape: proof for proof in evidence if not proof.tools}
    with_tools = {proof.shape: proof for proof in evidence if proof.tools}
    for shape in {**plain, **with_tools}:
        shown = [proofs[shape] for proofs in (plain, with_tools) if shape in proofs]
        if len({proof.answer for proof in shown}) == 1:
            shown = shown[:1]
        for proof in shown:
            table.add_row(
                *[" → ".join(shape)] * with_shapes,
                Text(proof.answer, style=_STYLES[proof.answer]),
                proof.conversation + ("  (with tools)" if proof.tools else ""),
            )
    return table
