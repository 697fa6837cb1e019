"""What learning from a backend that means harm from the first question on costs a process.

    python -m benchmarks.hostile_learning          a row for each kind of harm (five minutes)
    python -m benchmarks.hostile_learning late- drip    only of the kinds whose name begins so

LiteLLM's router runs in this process, with the guard. A sound conversation and a refused one go to
each kind, which starts the learning, again and again until it is over. A task that wants to run
every millisecond tells how long the event loop stood still: in the processor's time, which is the
same on a busy machine.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import litellm
from litellm.router import Router

from litellm_role_guard import RoleGuard
from testing.hostile_backend import LEARNT_FROM, MODEL
from testing.processes import free_port, launch, running
from testing.proxied import RUN

from .hostile import megabytes

TICK_SECONDS = 0.001
PAUSE_SECONDS = 0.5
"""From one pair of requests to the next."""

LEAST_SECONDS, LONGEST_SECONDS = 3.0, 90.0
"""How long a kind is watched: until its learning is over, and so long at least and at most."""


class Cost(NamedTuple):
    """What learning from a kind cost.

    Attributes:
        grown: By how many MB this process grew at most.
        stall: The longest time for which the event loop stood still, in seconds.
        over: After how many seconds the learning was over.
        how: How it ended, in the log's words.
    """

    grown: float
    stall: float
    over: float
    how: str


class _Ends(logging.Handler):
    """Notes how learnings end."""

    def __init__(self) -> None:
        super().__init__()
        self.said: dict[str, tuple[float, str]] = {}  # by deployment: when, and how
        self.failures = 0

    def emit(self, record: logging.LogRecord) -> None:
        words = record.getMessage()
        if words.startswith(("not learnt: ", "learnt in ")):
            words, _, deployment = words.partition(" deployment=")
            self.said.setdefault(deployment, (time.monotonic(), words))
        self.failures += "Traceback" in words


async def _longest_stall(until: asyncio.Event) -> float:
    longest = 0.0
    while not until.is_set():
        began = time.thread_time()
        await asyncio.sleep(TICK_SECONDS)
        longest = max(longest, time.thread_time() - began)
    return longest


async def _status(router: Router, kind: str, messages: list[Any]) -> int:
    try:
        await router.acompletion(model=kind, messages=messages, max_tokens=8)
    except Exception as error:
        return int(getattr(error, "status_code", 0))
    return 200


async def _pair(router: Router, kind: str) -> tuple[int, int]:
    sound, broken = RUN[:3], RUN
    return await _status(router, kind, sound), await _status(router, kind, broken)


async def _watched(router: Router, kind: str, ends: _Ends) -> tuple[Cost, Counter[tuple[int, int]]]:
    """Send pairs of conversations until the learning is over."""
    listed = router.get_model_list(kind) or []
    name = str(listed[0]["model_info"]["id"])
    Path("/proc/self/clear_refs").write_text("5")
    before, over = megabytes("self", "VmRSS"), asyncio.Event()
    stall = asyncio.ensure_future(_longest_stall(over))
    pairs: Counter[tuple[int, int]] = Counter()
    began = time.monotonic()
    while time.monotonic() - began < (LEAST_SECONDS if name in ends.said else LONGEST_SECONDS):
        pairs[await _pair(router, kind)] += 1
        await asyncio.sleep(PAUSE_SECONDS)
    over.set()
    grown = megabytes("self", "VmHWM") - before
    ended, how = ends.said.get(name, (began + LONGEST_SECONDS, "still asking"))
    return Cost(grown, await stall, ended - began, how), pairs


def _router(backend: str, kinds: list[str]) -> Router:
    return Router(
        model_list=[
            {
                "model_name": kind,
                "litellm_params": {
                    "model": f"hosted_vllm/{MODEL}",
                    "api_base": f"{backend}/{kind}/a/v1",
                    "api_key": "none",
                },
            }
            for kind in kinds
        ],
        num_retries=0,
        disable_cooldowns=True,
    )


def _shown(pairs: Mapping[tuple[int, int], int]) -> str:
    return ", ".join(f"{count} x {sound}/{broken}" for (sound, broken), count in pairs.items())


async def _main(folder: Path) -> None:
    wanted = tuple(sys.argv[1:]) or ""
    kinds = [kind for kind in LEARNT_FROM if kind.startswith(wanted)]
    port, log = free_port(), folder / "backend.log"
    process = launch([sys.executable, "-m", "testing.hostile_backend", str(port)], folder, log)
    ends = _Ends()
    guards = logging.getLogger("litellm_role_guard")
    guards.addHandler(ends)
    guards.setLevel(logging.INFO)
    guards.propagate = False
    with running(process, f"http://127.0.0.1:{port}", "/health", log) as backend:
        router = _router(backend, kinds)
        litellm.callbacks = [RoleGuard(learn=False)]
        await _pair(router, kinds[0])  # whose first requests import what they need
        ends.failures = 0
        for kind in kinds:
            litellm.callbacks = []
            without = await _pair(router, kind)
            litellm.callbacks = [RoleGuard(profile_cache="off")]
            cost, pairs = await _watched(router, kind, ends)
            print(
                f"{kind:14} without {without[0]}/{without[1]}, with {_shown(pairs)}; grew"
                f" {cost.grown:.0f} MB, stood still {cost.stall:.3f} s, over after {cost.over:.1f}"
                f" s: {cost.how[:120]}",
                flush=True,
            )
    print("failures of the guard's own:", ends.failures)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as home:
        asyncio.run(_main(Path(home)))
