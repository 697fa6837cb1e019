"""What several backends behind a proxy do for the same conversations, in figures.

    python -m benchmarks.fleet    writes docs/fleet.md's tables, on simulated backends (5 minutes)

`run` is what tests/vllm/test_fleet.py uses for real vLLM servers.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from demo.processes import simulator
from litellm_role_guard.routing.prefix import Candidate, choose, prefix_key
from tests.processes import MASTER_KEY, start_proxy

from .page import write
from .talks import talks

_SAMPLE = re.compile(r"^(vllm:\w+)\{[^}]*\} (\S+)$", re.MULTILINE)


@dataclass
class Outcome:
    """What became of some conversations.

    Attributes:
        requests: How many requests were sent.
        failures: The statuses of those that were not answered; 0 for no response.
        queries: Prompt tokens, by backend.
        hits: Prompt tokens found in the prefix cache, by backend.
        taken: Requests that each backend answered.
        homes: Which backend answered each conversation, turn by turn, by its number.
        routed: How often which `routed=...` stood in the header.
    """

    requests: int = 0
    failures: list[int] = field(default_factory=list)
    queries: list[float] = field(default_factory=list)
    hits: list[float] = field(default_factory=list)
    taken: list[float] = field(default_factory=list)
    homes: dict[int, list[str]] = field(default_factory=dict)
    routed: dict[str, int] = field(default_factory=dict)

    @property
    def hit_ratio(self) -> float:
        """Prompt tokens found in the prefix caches, of all."""
        return sum(self.hits) / max(1.0, sum(self.queries))

    @property
    def load(self) -> float:
        """Requests of the backend that got most, in proportion to the mean."""
        return max(self.taken) / (sum(self.taken) / len(self.taken))


async def metrics(client: httpx.AsyncClient, backend: str) -> dict[str, float]:
    """Give the sums of a vLLM's metrics over their labels."""
    sums: dict[str, float] = {}
    for name, value in _SAMPLE.findall((await client.get(f"{backend}/metrics")).text):
        sums[name] = sums.get(name, 0.0) + float(value)
    return sums


async def run(
    proxy: str,
    group: str,
    backends: Sequence[str],
    conversations: Iterable[Iterator[list[dict[str, Any]]]],
    *,
    concurrency: int,
    max_tokens: int = 1,
) -> Outcome:
    """Hold conversations, each turn after the answer to the one before, and count.

    Args:
        proxy: The proxy's address.
        group: The model group to ask.
        backends: The addresses of the vLLMs that may answer.
        conversations: The messages of each turn of each conversation.
        concurrency: How many conversations are held at once.
        max_tokens: The limit of each answer.
    """
    outcome = Outcome()
    limits = httpx.Limits(max_connections=concurrency + 1)
    headers = {"Authorization": f"Bearer {MASTER_KEY}"}
    waiting = iter(enumerate(conversations))
    async with httpx.AsyncClient(timeout=120, limits=limits, headers=headers) as client:
        before = [await metrics(client, backend) for backend in backends]

        async def hold() -> None:
            for number, turns in waiting:
                for messages in turns:
                    body = {"model": group, "messages": messages, "max_tokens": max_tokens}
                    outcome.requests += 1
                    try:
                        reply = await client.post(f"{proxy}/v1/chat/completions", json=body)
                    except httpx.HTTPError:
                        outcome.failures.append(0)
                        continue
                    if reply.status_code != 200:
                        outcome.failures.append(reply.status_code)
                        continue
                    preferred = reply.headers.get("x-litellm-model-api-base", "")
                    outcome.homes.setdefault(number, []).append(preferred)
                    for said in reply.headers.get("x-role-guard", "").split("; "):
                        if said.startswith("routed="):
                            outcome.routed[said] = outcome.routed.get(said, 0) + 1

        await asyncio.gather(*(hold() for _ in range(concurrency)))
        after = [await metrics(client, backend) for backend in backends]
    for counts, name in (
        (outcome.queries, "vllm:prefix_cache_queries_total"),
        (outcome.hits, "vllm:prefix_cache_hits_total"),
        (outcome.taken, "vllm:request_success_total"),
    ):
        counts += [new[name] - old[name] for old, new in zip(before, after, strict=True)]
    return outcome


SIZE = 8
CONVERSATIONS = 2000
FEWER = 500
"""Conversations where none is to move, and their number makes no difference."""

TURNS = 2
CHARS = 120
CONCURRENCY = 64


def deployments(group: str, backends: Sequence[str], **settings: Any) -> list[dict[str, Any]]:
    """Give the config's entries for one group, a deployment for each backend."""
    return [
        {
            "model_name": group,
            "litellm_params": {
                "model": "hosted_vllm/simulated",
                "api_base": f"{backend}/v1",
                "api_key": "none",
            },
            "model_info": {"role_guard": settings},
        }
        for backend in backends
    ]


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
