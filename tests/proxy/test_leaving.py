"""Clients that leave while their requests are repaired, sent again, streamed, or wait for learning.

Beside each other: a proxy with the guard, and one without.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from testing.held import NOISE, Held, held, settled
from testing.processes import simulator
from testing.proxied import (
    ENDPOINTS,
    LENIENT,
    ROUTER,
    RUN,
    STRICT,
    Backend,
    Proxy,
    body_of,
    deployment,
)
from testing.proxies import MASTER_KEY, start_proxy
from testing.templates import NEVER

pytestmark = pytest.mark.slow

LEAVING, AT_ONCE = 500, 100
PATIENCE_SECONDS = 10.0
"""How long the most patient client waits; the others less, evenly."""

RENDERS = ("/tokenize", "/detokenize", "/v1/chat/completions/render")

PHASES = ("repaired", "retried", "refused", "learning")
"""The groups, by what is under way when a client leaves; half of the requests are streams."""


class Backends(NamedTuple):
    """Simulated backends that take their time.

    Attributes:
        slow: A strict one that writes its answers slowly.
        never: One that refuses everything.
        hanging: A strict one that never says what it renders.
        quick: A strict one that answers at once.
    """

    slow: Backend
    never: Backend
    hanging: Backend
    quick: Backend


@pytest.fixture(scope="module")
def slow_backends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backends]:
    """Run the backends."""
    folder = tmp_path_factory.mktemp("backends")
    never = folder / "never.jinja"
    never.write_text(NEVER)
    pace = {"latency": "0.5", "tokens-per-second": "5"}
    with ExitStack() as stack:
        urls = [
            stack.enter_context(simulator(folder, template, **options))
            for template, options in ((STRICT, pace), (never, {}), (STRICT, pace), (STRICT, {}))
        ]
        yield Backends(*map(Backend, urls))


def _config(backends: Backends, callbacks: list[str]) -> dict[str, Any]:
    routed: dict[str, Any] = {"routing": "prefix_affinity"}
    strict = str(STRICT)
    return {
        "model_list": [
            deployment("strict", backends.quick, chat_template=strict),
            deployment("repaired", backends.slow, chat_template=strict, **routed),
            deployment("retried", backends.slow, chat_template=str(LENIENT), **routed),
            deployment("refused", backends.never, learn=False, **routed),
            deployment("learning", backends.hanging, learn_wait=60.0, **routed),
        ],
        "litellm_settings": {"callbacks": callbacks},
        "router_settings": ROUTER,
    }


async def _leave(proxy: Proxy) -> tuple[Counter[str], Counter[str]]:
    """Send requests whose clients leave; count these by group, and those amid a stream."""
    kinds = list(itertools.product(ENDPOINTS, (False, True), PHASES))
    headers = {"Authorization": f"Bearer {MASTER_KEY}"}
    limits = httpx.Limits(max_connections=AT_ONCE)
    left, amid = Counter[str](), Counter[str]()
    async with httpx.AsyncClient(timeout=120, headers=headers, limits=limits) as client:

        async def send(at: int) -> None:
            endpoint, stream, group = kinds[at % len(kinds)]
            begins = RUN[:-1] if at // len(kinds) % 2 else RUN[:-2]  # broken, or sound
            talk = [*begins, {"role": "user", "content": f"{RUN[-1]['content']} " * 20}]
            body = body_of(endpoint, group, talk, stream=stream)
            begun: list[bytes] = []

            async def read() -> None:
                url = proxy.url + ENDPOINTS[endpoint]
                async with client.stream("POST", url, json=body) as response:
                    async for piece in response.aiter_bytes():
                        begun.append(piece)

            try:
                await asyncio.wait_for(read(), 0.02 + PATIENCE_SECONDS * (at % AT_ONCE) / AT_ONCE)
            except (asyncio.TimeoutError, httpx.TransportError):
                left[group] += 1
                amid[group] += stream and bool(begun)

        for begin in range(0, LEAVING, AT_ONCE):
            await asyncio.gather(*map(send, range(begin, begin + AT_ONCE)))
    return left, amid


async def _held_amid(proxy: Proxy, until: asyncio.Future[Any]) -> Held:
    """Return the most tasks that the proxy has held meanwhile, and what else it held then."""
    most = await asyncio.to_thread(held, proxy)
    while not until.done():
        await asyncio.wait([until], timeout=5)  # each look costs the proxy much of a second
        most = max(most, await asyncio.to_thread(held, proxy))
    return most


@pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "bare"])
async def test_clients_that_leave_leave_nothing_behind(
    slow_backends: Backends, tmp_path: Path, guarded: bool, record_property: Any
) -> None:
    """500 of them: what the proxy holds is as before, as it is without the guard; nothing is
    counted in flight, and the next request is answered."""
    shutil.copy(Path(__file__).with_name("probe.py"), tmp_path)
    callbacks = [*(["litellm_role_guard.role_guard"] if guarded else []), "probe.probe"]
    control = f"{slow_backends.hanging.url}/control"
    httpx.post(control, json={"fault": "hang", "paths": RENDERS}).raise_for_status()
    with start_proxy(_config(slow_backends, callbacks), tmp_path) as url:
        proxy = Proxy(url)
        before = held(proxy)
        slow_backends.slow.forget()
        leaving = asyncio.ensure_future(_leave(proxy))
        amid = await _held_amid(proxy, leaving)
        left, in_streams = await leaving
        httpx.post(control, json={"fault": None}).raise_for_status()
        after = settled(proxy, before)
        asked = slow_backends.slow.calls()
        refused = sum(call["status"] == 400 for call in asked)
        told = (
            f"left {dict(left)}, amid a stream {dict(in_streams)}; the slow backend was asked"
            f" {len(asked)} times and refused {refused}; before {before}, amid {amid},"
            f" after {after}"
        )
        record_property("told", told)
        print(told)
        assert proxy.ask("chat", "repaired", RUN[:1]).status_code == 200
        log = (tmp_path / "proxy.log").read_text()
    assert (after.in_use, after.in_flight) == (0, 0)
    assert all(now <= then + NOISE for now, then in zip(after, before, strict=True))
    assert amid.tasks > before.tasks + NOISE
    assert sum(left.values()) > LEAVING // 3
    assert refused > 0
    assert sum(in_streams.values()) > 0
    if guarded:
        assert left["learning"] > LEAVING // len(PHASES) // 2
        assert amid.in_flight > 0
        assert "role guard failed" not in log
