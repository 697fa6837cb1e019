"""Bodies with something odd anywhere in them, through LiteLLM's own proxy app: none fares worse.

Each is sent to groups with the guard and to one without. Where LiteLLM alone would have answered,
the guard answers or explains, as far as it may; never does it stumble, nor let a marker of turns by
where it is set to break them. `make fuzz` draws new ones for an hour;
`corpus/` keeps those that found something.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from litellm_role_guard import ChatTemplate
from litellm_role_guard.simulator import create_app
from testing.fuzzed_bodies import fuzzed
from testing.fuzzed_proxy import GUARDED, MODEL, FuzzedProxy, Verdict, fuzzed_proxy
from testing.serving import serving
from testing.size import SIZE
from testing.templates import STRICT

pytestmark = pytest.mark.slow

CORPUS = sorted(Path(__file__).with_name("corpus").glob("*.json"))
SECONDS = float(os.environ.get("ROLE_GUARD_FUZZ_SECONDS", "20"))
"""For how long new bodies are drawn."""


class Fuzzing:
    """The proxy, in a loop that hypothesis's calls share."""

    def __init__(self, loop: asyncio.AbstractEventLoop, proxy: FuzzedProxy) -> None:
        self._loop = loop
        self.proxy = proxy

    def judge(self, endpoint: str, body: dict[str, Any]) -> list[Verdict]:
        """Hold that a body fares no worse with the guard, and that the guard does not stumble."""
        failed = self.proxy.guard.counts["failed"]
        verdicts = self._loop.run_until_complete(self.proxy.judge(endpoint, body))
        assert not any(verdict.is_worse for verdict in verdicts), verdicts
        assert self.proxy.guard.counts["failed"] == failed, verdicts
        return verdicts


@pytest.fixture(scope="module")
def strict_backend() -> Iterator[str]:
    """Serve a strict template; give the address."""
    with serving(create_app(ChatTemplate.from_path(STRICT), model=MODEL)) as url:
        yield url


@pytest.fixture(scope="module")
def fuzzing(strict_backend: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fuzzing]:
    """Run the proxy's app in this process."""
    folder = tmp_path_factory.mktemp("fuzzed")
    loop = asyncio.new_event_loop()
    context = fuzzed_proxy(folder, strict_backend)
    proxy = loop.run_until_complete(context.__aenter__())
    levels = {name: logging.getLogger(name).level for name in ("LiteLLM", "LiteLLM Router")}
    for name in levels:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield Fuzzing(loop, proxy)
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        loop.run_until_complete(context.__aexit__(None, None, None))
        left = asyncio.all_tasks(loop)  # LiteLLM's own, which never end
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.close()


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_what_was_found_once_is_found_no_more(fuzzing: Fuzzing, path: Path) -> None:
    """Each body that made the guard stumble, or fare worse, stays here."""
    found = json.loads(path.read_text())
    assert all(verdict.guarded for verdict in fuzzing.judge(found["endpoint"], found["body"]))


def test_no_body_fares_worse_with_the_guard(
    fuzzing: Fuzzing, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is answered as without the guard, or better, or with a 400 that explains."""

    until = time.monotonic() + SECONDS
    sent: set[str] = set()  # what is drawn twice is sent once

    @settings(
        max_examples=150,
        derandomize=SIZE != "fresh",
        suppress_health_check=list(HealthCheck),
    )
    @given(fuzzed())
    def holds(drawn: tuple[str, dict[str, Any]]) -> None:
        body = json.dumps(drawn)
        if time.monotonic() < until and body not in sent:
            fuzzing.judge(*drawn)
            sent.add(body)

    holds()
    while SIZE == "fresh" and time.monotonic() < until:
        holds()  # other bodies each time
    with capsys.disabled():
        if SIZE == "fresh":
            print(f"\n{len(sent)} bodies in {SECONDS:.0f} s")
            _show(fuzzing.proxy)
    assert sum(fuzzing.proxy.verdicts.values()) > 0


def _show(proxy: FuzzedProxy) -> None:
    """Print how many bodies each endpoint got, what became a 400 with the guard, and why."""
    verdicts = proxy.verdicts
    endpoints = Counter[str]()
    for verdict, count in verdicts.items():
        endpoints[verdict.endpoint] += count if verdict.group == GUARDED else 0
    print(*(f"{count} to {endpoint}" for endpoint, count in endpoints.items()), sep=", ")
    for verdict, count in sorted(verdicts.items(), key=lambda counted: (counted[0], counted[1])):
        if verdict.reason:
            group, endpoint, bare, guarded, reason, _ = verdict
            print(f"{count:6}  {group:7} {endpoint:9} {bare} -> {guarded}  {reason}")
