"""What several backends behind a proxy do for the same conversations, in figures.

    python -m benchmarks.fleet    writes docs/fleet.md's tables, on simulated backends (5 minutes)

The conversations are held by `testing.fleet`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from litellm_role_guard.routing.prefix import Candidate, choose, prefix_key
from testing.fleet import Outcome, deployments, run
from testing.processes import simulator
from testing.proxies import start_proxy
from testing.talks import talks

from .page import write

SIZE = 8
CONVERSATIONS = 2000
FEWER = 500
"""Conversations where none is to move, and their number makes no difference."""

TURNS = 2
CHARS = 120
CONCURRENCY = 64


def moved(before: Mapping[int, Sequence[str]], after: Mapping[int, Sequence[str]]) -> float:
    """Give the share of the conversations that are answered elsewhere than they were at last."""
    both = before.keys() & after.keys()
    return sum(before[each][-1] != after[each][0] for each in both) / len(both)


def hashed_homes(count: int, name: str, backends: Sequence[str]) -> list[int]:
    """Give the backend that each conversation has by its hash, whatever the load is."""
    known = [Candidate(f"{backend}/v1 simulated") for backend in backends]
    openings = (prefix_key(next(each)) for each in talks(name, count, 1, chars=CHARS))
    return [choose(start or b"", known, {}).order[0] for start in openings]


@dataclass
class Phase:
    """What one part of the measurement gave: a line of the table.

    Attributes:
        name: What it is.
        outcome: What became of the requests.
        moved: Share of the conversations that were answered elsewhere before; None for the first.
        hashed: The share that the hash moves, which no routing by conversation can go below.
    """

    name: str
    outcome: Outcome
    moved: float | None = None
    hashed: float | None = None

    def row(self) -> str:
        """Give the line."""
        outcome = self.outcome
        shares = ["" if share is None else f"{share:.1%}" for share in (self.moved, self.hashed)]
        cells = [
            self.name,
            f"{outcome.requests - len(outcome.failures)} of {outcome.requests}",
            f"{outcome.hit_ratio:.3f}",
            f"{outcome.load:.2f}",
            *shares,
        ]
        return f"| {' | '.join(cells)} |"


def measure(folder: Path) -> list[Phase]:
    """Run the phases on real proxies and simulated backends; give what came of them."""
    phases = []
    callbacks = {
        "litellm_settings": {"callbacks": ["litellm_role_guard.role_guard"]},
        "router_settings": {"num_retries": 2, "retry_after": 0, "cooldown_time": 600},
    }

    def ask(url: str, group: str, backends: Sequence[str], held: Iterable[Any]) -> Outcome:
        return asyncio.run(run(url, group, backends, held, concurrency=CONCURRENCY))

    with ExitStack() as stack:
        first = stack.enter_context(simulator(folder))
        rest = [stack.enter_context(simulator(folder)) for _ in range(SIZE - 2)]
        leaving = ExitStack()
        stack.push(leaving)
        eight = [first, *rest, leaving.enter_context(simulator(folder))]
        model_list = [
            *deployments("alone", [first]),
            *deployments("shuffled", eight),
            *deployments("affine", eight, routing="prefix_affinity"),
        ]
        with start_proxy({"model_list": model_list, **callbacks}, folder) as url:
            held = talks("alone", FEWER, TURNS, chars=CHARS)
            phases.append(Phase("one backend", ask(url, "alone", [first], held)))
            held = talks("shuffled", FEWER, TURNS, chars=CHARS)
            phases.append(Phase("eight, shuffled", ask(url, "shuffled", eight, held)))
            held = talks("affine", CONVERSATIONS, TURNS + 2, chars=CHARS)
            begun = ask(url, "affine", eight, (islice(each, TURNS) for each in held))
            phases.append(Phase("eight, prefix affinity", begun))
            leaving.close()
            seven = eight[:-1]
            fewer = ask(url, "affine", seven, (islice(each, 1) for each in held))
        homes = [hashed_homes(CONVERSATIONS, "affine", known) for known in (eight, seven)]
        lost = sum(a != b for a, b in zip(*homes, strict=True)) / CONVERSATIONS
        phases.append(Phase("one leaves", fewer, moved(begun.homes, fewer.homes), lost))
        other = [*seven, stack.enter_context(simulator(folder))]
        model_list = deployments("affine", other, routing="prefix_affinity")
        with start_proxy({"model_list": model_list, **callbacks}, folder) as url:
            more = ask(url, "affine", other, (islice(each, 1) for each in held))
        homes = [hashed_homes(CONVERSATIONS, "affine", known) for known in (seven, other)]
        won = sum(a != b for a, b in zip(*homes, strict=True)) / CONVERSATIONS
        phases.append(Phase("another joins", more, moved(fewer.homes, more.homes), won))
    return phases


def main() -> None:
    """Measure, print, and put the table into docs/fleet.md."""
    with TemporaryDirectory() as folder:
        phases = measure(Path(folder))
    table = [
        "| | answered | found in the prefix cache | busiest backend, of the mean "
        "| conversations that moved | of these by the hash |",
        "|---|---|---|---|---|---|",
        *(phase.row() for phase in phases),
    ]
    text = "\n".join(table)
    print(text)
    write("fleet", text)


if __name__ == "__main__":
    main()
