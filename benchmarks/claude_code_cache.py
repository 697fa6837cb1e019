"""Where a fleet's prompt tokens go in a chat with the real Claude Code, on real vLLM servers.

    python -m benchmarks.claude_code_cache    writes its part of docs/fleet.md (5 minutes)

Claude Code begins its system text with a billing line, in some versions a new one in each request.
The chat is held through a proxy with `routing: prefix_affinity`, and then sent again to empty
caches: as it was, and without the line. Needs `make test-agents` and `make test-vllm` once, which
install what runs here.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from litellm_role_guard.repair.billing_line import without_line
from testing.agents.claude_code import ClaudeCode
from testing.agents.program import version_of
from testing.agents.recorder import Exchange, recording
from testing.fleet import metrics
from testing.proxies import MASTER_KEY, start_proxy
from testing.real_templates import GEMMA_3
from testing.vllm import MODEL, gemma, serving

from .page import machine, table, write
from .prefix_cache import BLOCK

SERVERS = 3
TURNS = 8
TARGET = 0.99

# Claude Code's instructions are long, and the tiny model's tokens are bytes. With sliding windows,
# what is found in the cache would depend on the window, too.
CONTEXT = 131072
_MODEL = {"layer_types": ["full_attention"] * 2, "max_position_embeddings": CONTEXT}
OPTIONS = (
    *("--enable-prompt-tokens-details", "--block-size", str(BLOCK)),
    *("--hf-overrides", json.dumps(_MODEL), "--max-model-len", str(CONTEXT)),
    # It sends its tools to a server that takes them, and is answered with noise that has an end.
    *("--enable-auto-tool-choice", "--tool-call-parser", "pythonic"),
    *("--override-generation-config", json.dumps({"max_new_tokens": 16})),
)


@dataclass
class Cost:
    """What a chat has cost the servers.

    Attributes:
        name: Which chat.
        requests: How many requests were answered, by server.
        prompt: Their prompt tokens.
        cached: How many of these were found in a prefix cache.
        routed: What the guard's header said of each.
    """

    name: str
    requests: list[int]
    prompt: int
    cached: int
    routed: list[str]

    @property
    def share(self) -> float:
        """The share of the prompt tokens that were found."""
        return self.cached / max(1, self.prompt)


@contextmanager
def fleet(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Run the servers and a proxy in front of them; give their addresses."""
    assert GEMMA_3 is not None, "no templates; `make test-vllm` fetches them"
    with ExitStack() as stack:
        servers = []
        for number in range(SERVERS):
            place = folder / f"vllm{number}"
            place.mkdir()
            # Its development mode lets a cache be emptied.
            model = gemma(GEMMA_3, *OPTIONS, VLLM_SERVER_DEV_MODE="1")
            servers.append(stack.enter_context(serving(model, place))[0])
            print(f"server {number + 1} is there", flush=True)
        entries = [
            {
                "model_name": MODEL,
                "litellm_params": {"model": f"hosted_vllm/{MODEL}", "api_base": f"{url}/v1"},
                "model_info": {"role_guard": {"routing": "prefix_affinity", "learn_wait": 60.0}},
            }
            for url in servers
        ]
        callbacks = {"litellm_settings": {"callbacks": ["litellm_role_guard.role_guard"]}}
        url = stack.enter_context(start_proxy({"model_list": entries, **callbacks}, folder))
        yield url, servers


def measure(name: str, servers: Sequence[str], chat: Callable[[], list[str | None]]) -> Cost:
    """Hold a chat on empty caches; give what it has cost.

    Args:
        name: What it is called.
        servers: Their addresses.
        chat: Holds it; gives the guard's header of each answer.
    """
    for url in servers:
        httpx.post(f"{url}/reset_prefix_cache", timeout=60).raise_for_status()
    before = list(map(_metrics, servers))
    said = [header or "" for header in chat()]
    after = list(map(_metrics, servers))

    def grown(metric: str) -> list[int]:
        return [int(new[metric] - old[metric]) for old, new in zip(before, after, strict=True)]

    parts = [part for each in said for part in each.split("; ")]
    cost = Cost(
        name,
        grown("vllm:request_success_total"),
        sum(grown("vllm:prefix_cache_queries_total")),
        sum(grown("vllm:prefix_cache_hits_total")),
        [part.removeprefix("routed=") for part in parts if part.startswith("routed=")],
    )
    print(cost, flush=True)
    return cost


def _metrics(url: str) -> dict[str, float]:
    async def read() -> dict[str, float]:
        async with httpx.AsyncClient(timeout=60) as client:
            return await metrics(client, url)

    return asyncio.run(read())


def without_billing(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request to /v1/messages without the billing line in its system text."""
    system = body.get("system")
    if isinstance(system, str):
        return {**body, "system": without_line(system)}
    kept = [{**part, "text": without_line(part["text"])} for part in system or ()]
    return {**body, "system": [part for part in kept if part["text"].strip()]}


def held(url: str, folder: Path) -> tuple[list[str | None], list[Exchange]]:
    """Hold the chat with the real program; give the guard's headers, and what was sent."""
    with recording(url) as recorder:
        chat = ClaudeCode(recorder.url, MODEL, folder, {"CLAUDE_CODE_MAX_OUTPUT_TOKENS": "64"})
        for turn in range(TURNS):
            finished = chat.ask(f"Question {turn + 1} about the history of the lighthouse.")
            print(f"turn {turn + 1}: exit code {finished.code}", flush=True)
        exchanges = recorder.take()
    failed = [each for each in exchanges if each.status != 200]
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(exchanges)}: {failed[0].error[:500]}")
    return [each.changes for each in exchanges], exchanges


def sent_again(url: str, bodies: Sequence[Mapping[str, Any]]) -> list[str | None]:
    """Send requests one after the other, each read to its end; give the guard's headers."""
    headers = {"Authorization": f"Bearer {MASTER_KEY}", "anthropic-version": "2023-06-01"}
    said: list[str | None] = []
    with httpx.Client(base_url=url, headers=headers, timeout=300) as client:
        for body in bodies:
            answer = client.post("/v1/messages", json=body)
            if answer.status_code != 200:
                raise RuntimeError(f"{answer.status_code}: {answer.text[:500]}")
            said.append(answer.headers.get("x-role-guard"))
    return said


def main() -> None:
    """Measure, and write the section."""
    exchanges: list[Exchange] = []

    def real() -> list[str | None]:
        said, sent = held(url, folder / "agent")
        exchanges.extend(sent)
        return said

    with TemporaryDirectory() as name:
        folder = Path(name)
        with fleet(folder) as (url, servers):
            costs = [measure("Claude Code itself", servers, real)]
            bodies = [each.body for each in exchanges]
            # Some versions write a billing line that is new in each request, some one for the chat.
            lines = {json.dumps(each.get("system"))[:200] for each in bodies}
            print(f"{len(bodies)} requests, beginning in {len(lines)} ways", flush=True)
            plain = [without_billing(body) for body in bodies]
            for told, again in (("sent again", bodies), ("without the billing line", plain)):
                held_again = partial(sent_again, url, again)
                costs.append(measure(f"its requests, {told}", servers, held_again))
    limit = costs[-1].share
    rows = [
        (
            cost.name,
            " + ".join(map(str, sorted(cost.requests, reverse=True))),
            ", ".join(f"{kind} {cost.routed.count(kind)}" for kind in sorted(set(cost.routed))),
            f"{cost.prompt:,}",
            f"{cost.share:.4f}",
            f"{cost.share / limit:.4f}",
        )
        for cost in costs
    ]
    head = ("chat", "requests by server", "routed", "prompt tokens", "found", "of the last row")
    met = min(cost.share for cost in costs) >= TARGET * limit
    about = (
        f"Claude Code {version_of('claude-code')}, {TURNS} turns, {SERVERS} real vLLM servers on "
        f"the CPU; {len(bodies)} requests, beginnings of their system texts: {len(lines)}. Target: "
        f"at least {TARGET} of what is found without the line: {'met' if met else '**missed**'}."
    )
    write("claude code", f"{about}\n\n{table(head, rows)}\n\n{machine('litellm')}")


if __name__ == "__main__":
    main()
