"""A LiteLLM proxy that is restarted while agents go on asking it."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

from litellm_role_guard import ChatTemplate, TemplateProfile, repair

from .load import client
from .processes import free_port, launch_proxy, running, simulator
from .proxies import write_config
from .templates import TEMPLATES

SECONDS = 10.0
KNOWN_SECONDS = 180.0
RIGHT, CAUTIOUS = "repaired for its template", "repaired by the cautious default"
TEMPLATE = TEMPLATES / "plain.jinja"

_CALLS = [
    {"id": f"call0000{n}", "type": "function", "function": {"name": "run", "arguments": "{}"}}
    for n in range(2)
]

# What a coding agent sends (its texts are this test's own): several system and user messages, and a
# round of two calls. The template takes each message and shows no calls, which are written out; the
# cautious default joins messages, and trusts the template with the calls.
TURN: list[dict[str, Any]] = [
    {"role": "system", "content": "You write programs."},
    {"role": "system", "content": "The folder is /work."},
    {"role": "user", "content": "These files are there: a.py, b.py."},
    {"role": "user", "content": "Run the tests."},
    {"role": "assistant", "content": None, "tool_calls": _CALLS},
    {"role": "tool", "tool_call_id": "call00000", "content": "3 passed"},
    {"role": "tool", "tool_call_id": "call00001", "content": "1 failed"},
    {"role": "assistant", "content": "One fails."},
    {"role": "user", "content": "Mend it."},
]


class Restart(NamedTuple):
    """What became of the requests behind a restart.

    Attributes:
        outcomes: How many requests were `RIGHT`, `CAUTIOUS`, or failed in which way.
        ready: The proxy's own line on how many deployments it knew, and when.
        known: How long each deployment took, in milliseconds, by how: `learnt`, `known again`.
    """

    outcomes: Counter[str]
    ready: str
    known: dict[str, list[float]]


class RestartedProxy:
    """A proxy in front of some deployments that can be started again and again.

    Args:
        folder: Where to put its config, its logs and its cache.
        stack: Ends the backends.
        deployments: How many there are.
        settings: Settings of the guard beside the defaults.
    """

    def __init__(self, folder: Path, stack: ExitStack, deployments: int, **settings: Any) -> None:
        self._folder, self._deployments = folder, deployments
        urls = [stack.enter_context(simulator(folder, TEMPLATE)) for _ in range(2)]
        self._config = write_config(
            {
                "model_list": [_deployment(number, urls) for number in range(deployments)],
                "litellm_settings": {"callbacks": ["litellm_role_guard.role_guard"]},
                "callback_settings": {"role_guard": settings},
                "router_settings": {"num_retries": 2, "disable_cooldowns": True},
            },
            folder,
        )
        self._starts = 0

    @property
    def cache(self) -> Path:
        """Where it keeps profiles."""
        return self._folder / "cache"

    def forget(self) -> None:
        """Have it know nothing at its next start."""
        shutil.rmtree(self.cache, ignore_errors=True)

    def run(self, requests: int) -> Restart:
        """Start it, send requests for ten seconds from when it listens, and end it."""
        self._starts += 1
        port, log = free_port(), self._folder / f"proxy-{self._starts}.log"
        process = launch_proxy(self._config, port, log)
        with running(process, f"http://127.0.0.1:{port}", "/health/liveliness", log) as url:
            outcomes = asyncio.run(_ask(url, requests, self._deployments))
            ready = _line(log)
            self._wait_until_kept()
        known: dict[str, list[float]] = {"learnt": [], "known again": []}
        for how, times in known.items():
            for line in log.read_text().splitlines():
                if f": {how} in " in line:
                    times.append(float(line.partition(f"{how} in ")[2].partition(" ")[0]))
        return Restart(outcomes, ready, known)

    def _wait_until_kept(self) -> None:
        """Wait until each profile has its file, which a ready proxy may still be writing."""
        deadline = time.monotonic() + KNOWN_SECONDS
        while time.monotonic() < deadline:
            if len(list(self.cache.glob("*/[!.]*.profile.json"))) == self._deployments:
                return
            time.sleep(0.05)  # a file gives no event to wait for


def headers() -> dict[str, str]:
    """Return what became of a request by its header: the true profile's, and the cautious one's."""
    true = TemplateProfile.learn(ChatTemplate.from_path(TEMPLATE))
    return {_header(true): RIGHT, _header(TemplateProfile.cautious()): CAUTIOUS}


def _header(profile: TemplateProfile) -> str:
    done = Counter(change.what for change in repair(TURN, profile).changes)
    return "; ".join(f"{what}={count}" for what, count in done.items())


def _deployment(number: int, urls: list[str]) -> dict[str, Any]:
    # Backends of their own to the guard: what goes with every conversation is another thing.
    params = {
        "model": "hosted_vllm/simulated",
        "api_base": f"{urls[number % len(urls)]}/v1",
        "chat_template_kwargs": {"deployment": number},
    }
    return {"model_name": f"agent-{number}", "litellm_params": params}


async def _ask(url: str, requests: int, deployments: int) -> Counter[str]:
    meanings = headers()
    outcomes: Counter[str] = Counter()
    async with client(requests, 60) as session:

        async def ask(number: int) -> None:
            await asyncio.sleep(number * SECONDS / requests)
            body = {"model": f"agent-{number % deployments}", "messages": TURN, "max_tokens": 4}
            try:
                async with session.post(f"{url}/v1/chat/completions", json=body) as reply:
                    await reply.read()
            except aiohttp.ClientError as error:
                outcomes[type(error).__name__] += 1
                return
            said = reply.headers.get("x-role-guard", "untouched")
            if reply.status != 200:
                said = f"status {reply.status}"
            outcomes[meanings.get(said, said)] += 1

        await asyncio.gather(*map(ask, range(requests)))
    return outcomes


def _line(log: Path) -> str:
    deadline = time.monotonic() + KNOWN_SECONDS
    while time.monotonic() < deadline:
        for line in log.read_text().splitlines():
            if "litellm_role_guard: ready: " in line:
                return line.partition("ready: ")[2]
        time.sleep(0.05)  # a log gives no event to wait for
    return "never"
