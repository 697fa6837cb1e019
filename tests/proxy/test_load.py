"""Many requests at once, and a guard that fails: the proxy stays as it was."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from testing.held import NOISE, held, settled
from testing.proxied import (
    ENDPOINTS,
    ROUTER,
    RUN,
    Backend,
    Proxy,
    answered,
    body_of,
    model_list,
    texts_of,
)
from testing.proxies import MASTER_KEY, start_proxy

REQUESTS = 200
CLOSED = ("isconnected", "Can not write request body", "onnection reset")
"""How aiohttp says that a kept connection was closed while it was used."""
TIMES = 5
"""How often a client asks at most where its connection was closed."""


async def send_all(proxy: Proxy, groups: list[str], count: int) -> list[httpx.Response]:
    """Send mixed requests at once: all endpoints, plain and streamed, fine and in need."""
    kinds = itertools.cycle(
        itertools.product(ENDPOINTS, (False, True), groups, (RUN, RUN[:3], RUN[:1]))
    )
    headers = {"Authorization": f"Bearer {MASTER_KEY}"}
    limits = httpx.Limits(max_connections=count)
    async with httpx.AsyncClient(timeout=120, headers=headers, limits=limits) as client:

        async def send(endpoint: str, stream: bool, group: str, messages: Any) -> httpx.Response:
            url = proxy.url + ENDPOINTS[endpoint]
            body = body_of(endpoint, group, messages, stream=stream)
            # A server closes a kept connection just when LiteLLM uses it, with the guard or
            # without: how often depends on the machine, and a client asks again.  All that were
            # kept may be closed at once, so that asking once more may meet another of them.
            for _ in range(TIMES):
                response = await client.post(url, json=body)
                closed = any(map(response.text.__contains__, CLOSED))
                if response.status_code != 500 or not closed:
                    break
            return response

        return await asyncio.gather(*(send(*kind) for kind in itertools.islice(kinds, count)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("groups", "status"), [(["strict", "cautious"], 200), (["never"], 400)], ids=["fine", "refused"]
)
async def test_many_requests_at_once_leave_nothing_behind(
    proxy: Proxy, groups: list[str], status: int
) -> None:
    """200 mixed requests at once are all answered; then no task and no connection is left over."""
    before = held(proxy)
    responses = await send_all(proxy, groups, REQUESTS)
    others = [response.text for response in responses if response.status_code != status]
    assert others == []
    assert all(map(answered, responses)) is (status == 200)
    after = settled(proxy, before)
    assert after.in_use == 0
    assert after.tasks <= before.tasks + NOISE
    assert after.sockets <= before.sockets + NOISE


def test_a_guard_that_fails_lets_every_request_go_on(
    backends: dict[str, Backend], tmp_path: Path
) -> None:
    """With an error inside the guard the proxy is LiteLLM's own; the log has the traceback, and no
    message text."""
    shutil.copy(Path(__file__).with_name("broken_guard.py"), tmp_path)
    config: dict[str, Any] = {
        "model_list": model_list(backends),
        "litellm_settings": {"callbacks": ["broken_guard.role_guard"]},
        "router_settings": ROUTER,
    }
    with start_proxy(config, tmp_path) as url:
        broken = Proxy(url)
        for endpoint in ENDPOINTS:
            assert broken.ask(endpoint, "strict", RUN[:1]).status_code == 200
            assert "roles must alternate" in broken.ask(endpoint, "strict", RUN).text
    log = (tmp_path / "proxy.log").read_text()
    assert "role guard failed; the request goes on unchanged" in log
    assert "broken_guard.py" in log
    assert "RuntimeError" in log
    assert not any(text in log for text in texts_of(RUN))
