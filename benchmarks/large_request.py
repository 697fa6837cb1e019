"""How long other requests wait while one of 10 MB is on its way, with the guard and without it.

python -m benchmarks.large_request          prints the figures of each shape (five minutes)
python -m benchmarks.large_request calls    only of the shapes whose name has this in it

LiteLLM's proxy app runs in this process, so that what holds its event loop up holds up the small
requests, sent one after the other beside each large one. They count from the large one's first byte
to its answer. The backend takes and shows all of it with and without the guard, and is a process of
its own.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from testing.conversations import Message, assistant, user
from testing.fuzzed_proxy import BARE, GUARDED, MODEL, FuzzedProxy, fuzzed_proxy
from testing.processes import simulator

BYTES = 10_000_000
ROUNDS = 3
TEMPLATE = """\
{% for message in messages %}<|{{ message.role }}|>{{ message.content or "" }}
{%- for call in message.tool_calls or [] %}<|call|>{{ call.function | tojson }}{% endfor %}
{%- endfor %}<|assistant|>"""


def _calls(count: int) -> list[Message]:
    arguments = json.dumps({"text": "x" * (BYTES // count - 120)})
    function = {"name": "f", "arguments": arguments}
    made = [{"id": f"call_{at}", "type": "function", "function": function} for at in range(count)]
    return [user("x"), {"role": "assistant", "content": None, "tool_calls": made}, user("y")]


SHAPES: Mapping[str, Callable[[], list[Message]]] = MappingProxyType(
    {
        "18,000 calls in one message": lambda: _calls(18_000),
        "18,000 user messages in a row": lambda: [user("x" * 520) for _ in range(18_000)],
        "a dialogue of 18,000 messages": lambda: [
            (user, assistant)[at % 2]("x" * 520) for at in range(17_999)
        ],
        "two messages": lambda: [user("x" * 5_000_000), user("y" * 5_000_000)],
        "100,000 messages (passed on)": lambda: [user("x" * 70) for _ in range(100_000)],
    }
)


class Waits(NamedTuple):
    """How long requests took, in seconds: the large one, and the longest and mean of the others."""

    large: float
    longest: float
    mean: float


async def _waits(proxy: FuzzedProxy, group: str, messages: list[Message]) -> Waits:
    body = {"messages": messages, "max_tokens": 8}
    small = {"messages": [user("hello")], "max_tokens": 8}
    began = time.perf_counter()
    large = asyncio.ensure_future(proxy.post("chat", {**body, "model": group}))
    others: list[float] = []
    while not large.done():
        since = time.perf_counter()
        await proxy.post("chat", {**small, "model": BARE})
        others.append(time.perf_counter() - since)
    took = time.perf_counter() - began
    (await large).raise_for_status()
    return Waits(took, max(others), statistics.mean(others))


async def _main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        template = Path(folder, "template.jinja")
        template.write_text(TEMPLATE)
        options = {"model": MODEL, "max-model-len": str(10 * BYTES)}
        with simulator(Path(folder), template, **options) as url:
            async with fuzzed_proxy(Path(folder), url) as proxy:
                wanted = sys.argv[1] if len(sys.argv) > 1 else ""
                for name, make in SHAPES.items():
                    if wanted in name:
                        await _show(name, proxy, make())


async def _show(name: str, proxy: FuzzedProxy, messages: list[Message]) -> None:
    waits: dict[str, list[Waits]] = {BARE: [], GUARDED: []}
    for _ in range(ROUNDS):
        for group, measured in waits.items():
            measured.append(await _waits(proxy, group, messages))
    shown: dict[str, Any] = {}
    for group, measured in waits.items():
        shown[group] = [statistics.median(each) for each in zip(*measured, strict=True)]
    ratio = shown[GUARDED][1] / shown[BARE][1]
    for group, (large, longest, mean) in shown.items():
        print(f"{name:32} {group:8} {large:6.2f} s  others {longest:6.3f} s at most, {mean:6.3f} s")
    print(f"{name:32} longest wait of others, with / without: {ratio:.2f}", flush=True)


if __name__ == "__main__":
    asyncio.run(_main())
