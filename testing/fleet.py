"""Conversations with several backends behind a proxy, and what becomes of them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from .proxies import MASTER_KEY

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
                    home = reply.headers.get("x-litellm-model-api-base", "")
                    outcome.homes.setdefault(number, []).append(home)
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
