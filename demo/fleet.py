"""Two simulated GPUs behind a real LiteLLM proxy that runs config.example.yaml with both."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from testing.processes import REPOSITORY, proxy, simulator

CONFIG = REPOSITORY / "config.example.yaml"
MASTER_KEY = os.environ.get("LITELLM_MASTER_KEY", "sk-role-guard-demo")
MODEL = "gemma3"

# What takes the plugin out of the config, and leaves all else as it is.
SECOND_GPU = "  # A second GPU:"
PLUGIN_LINES = ("litellm_settings:", '  callbacks: ["litellm_role_guard.role_guard"]')


@dataclass
class Answer:
    """What came back for a request.

    Attributes:
        status: The HTTP status.
        text: The model's answer, or the error's message.
        repairs: What the guard says it did, or None.
        prompts: What the backends made of it: the prompt each read, or None where it refused or
            was out of reach.
    """

    status: int
    text: str
    repairs: str | None
    prompts: list[str | None]


@dataclass
class Fleet:
    """A running proxy and its backends."""

    url: str
    backends: list[str]

    def fail(self, fault: str | None) -> None:
        """Make all backends fail in a way that the simulator knows; None ends it."""
        for backend in self.backends:
            httpx.post(f"{backend}/control", json={"fault": fault}).raise_for_status()

    def ask(self, messages: list[dict[str, Any]]) -> Answer:
        """Send a conversation as any OpenAI client does."""
        for backend in self.backends:
            httpx.delete(f"{backend}/control/requests").raise_for_status()
        response = httpx.post(
            f"{self.url}/v1/chat/completions",
            json={"model": MODEL, "messages": messages},
            headers={"Authorization": f"Bearer {MASTER_KEY}"},
            timeout=60,
        )
        body = response.json()
        if response.status_code == 200:
            text = body["choices"][0]["message"]["content"]
        else:
            text = body["error"]["message"]
        received = [
            request
            for backend in self.backends
            for request in httpx.get(f"{backend}/control/requests").json()
            if request["path"].startswith("/v1/")  # the guard asks elsewhere what a template takes
        ]
        return Answer(
            response.status_code,
            text,
            response.headers.get("x-role-guard"),
            [request["prompt"] for request in received],
        )


@contextmanager
def fleet(folder: Path, *, guarded: bool = True, port: int | None = None) -> Iterator[Fleet]:
    """Run two backends and a proxy until the block is left.

    Args:
        folder: Where to put the logs and the config.
        guarded: Whether the plugin's two lines stay in the config.
        port: Where the proxy is to listen; a free port by default.
    """
    config = _config(folder, guarded=guarded)
    with ExitStack() as stack:
        backends = [stack.enter_context(simulator(folder, model=MODEL)) for _ in range(2)]
        environment = {f"GEMMA3_GPU_{at}": f"{url}/v1" for at, url in enumerate(backends)}
        environment["LITELLM_MASTER_KEY"] = MASTER_KEY
        log = folder / f"proxy-{'guarded' if guarded else 'plain'}.log"
        yield Fleet(stack.enter_context(proxy(config, log, environment, port)), backends)


def _config(folder: Path, *, guarded: bool) -> Path:
    """Write the example config with its second GPU, and without the plugin if need be."""
    first, second, rest = CONFIG.read_text().partition(SECOND_GPU)
    block, _, rest = rest.partition("\n\n")
    lines = (first + block.replace("\n  # ", "\n  ") + "\n\n" + rest).splitlines()
    kept = [line for line in lines if guarded or line not in PLUGIN_LINES]
    if not second or len(kept) != len(lines) - (0 if guarded else len(PLUGIN_LINES)):
        raise RuntimeError(f"{CONFIG}: a line that the demo puts in or takes out is not there")
    config = folder / "config.yaml"
    config.write_text("\n".join(kept) + "\n")
    return config
