"""What learning from a backend that means harm from the first question on costs a proxy.

    python -m benchmarks.hostile_learning          a row for each kind of harm (eight minutes)
    python -m benchmarks.hostile_learning late-    only of the kinds whose name begins so

Each kind gets a proxy of its own, whose learning waits at the backend's door until it is watched.
Sound and refused conversations go to it meanwhile, and a pair of them to a proxy without the guard.
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import aiohttp

from testing.hostile_backend import LEARNT_FROM
from testing.load import client
from testing.processes import free_port, launch, running

from .hostile import PATIENCE_SECONDS, Cost, Watched, models_of, shown, watched_proxy

SECONDS = 12.0
LONGEST_SECONDS = 90.0
"""How long the end of a learning is waited for."""

_END = re.compile(r"(not learnt: .*|learnt in .*) deployment=")


async def _end_of_learning(log: Path) -> tuple[float, str]:
    """Wait until both deployments were learnt or given up; return the seconds, and how it ended."""
    began = time.monotonic()
    while time.monotonic() - began < LONGEST_SECONDS:
        ends = _END.findall(log.read_text())
        if len(ends) >= 2:
            return time.monotonic() - began, str(ends[0])
        await asyncio.sleep(0.05)
    return LONGEST_SECONDS, "still asking"


async def _learning(
    session: aiohttp.ClientSession, backend: str, kind: str, folder: Path
) -> tuple[Cost, float, str]:
    with watched_proxy(models_of(backend, [kind]), folder, guarded=True) as proxy:
        end = asyncio.ensure_future(_end_of_learning(folder / "proxy.log"))
        async with session.get(f"{backend}/open/{kind}/now"):
            pass
        cost = await proxy.cost(session, kind, SECONDS)
        seconds, how = await end
    text = (folder / "proxy.log").read_text()
    for fault in ("role guard failed", "Traceback (most recent call last)"):
        if fault in text:
            how += f"; {text.count(fault)} x {fault}"
    return cost, seconds, how


async def _statuses(proxy: Watched, session: aiohttp.ClientSession, kind: str) -> str:
    sound, broken = (await proxy.cost(session, kind, 0.1)).statuses
    return (
        shown(Counter(dict.fromkeys(sound, 1))) + " / " + shown(Counter(dict.fromkeys(broken, 1)))
    )


async def _main(folder: Path) -> None:
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    kinds = [kind for kind in LEARNT_FROM if kind.startswith(wanted)]
    port, log = free_port(), folder / "backend.log"
    command = [sys.executable, "-m", "testing.hostile_backend", str(port), "--shut"]
    with (
        running(
            launch(command, folder, log), f"http://127.0.0.1:{port}", "/health", log
        ) as backend,
        watched_proxy(models_of(backend, kinds), folder / "without", guarded=False) as bare,
    ):
        async with client(100, PATIENCE_SECONDS) as session:
            for kind in kinds:
                plain = await _statuses(bare, session, kind)
                cost, seconds, how = await _learning(session, backend, kind, folder / kind)
                print(
                    f"{kind:14} without: {plain}  with: {shown(cost.statuses[0])} /"
                    f" {shown(cost.statuses[1])}  grew {cost.grown:.0f} MB, child"
                    f" {cost.child:.0f} MB, stood still {cost.stall:.3f} s, over after"
                    f" {seconds:.1f} s: {how[:150]}",
                    flush=True,
                )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as home:
        asyncio.run(_main(Path(home)))
