"""System messages after the first turn on /v1/messages, as a real proxy sends them on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from testing.processes import simulator
from testing.proxied import LENIENT, STRICT, Backend, Proxy, deployment
from testing.proxies import start_proxy

pytestmark = pytest.mark.slow

WAYS = ("in_place", "front", "auto")
TEMPLATES = {"strict": STRICT, "lenient": LENIENT}
SAID = [
    {"role": "user", "content": "hello"},
    {"role": "assistant", "content": "hi"},
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": "what now?"},
]
LABELLED = "<|user|>[System message]\nbe brief\n\n[User message]\nwhat now?<|end|>"
NATIVE = "<|assistant|>hi<|end|>\n<|system|>be brief<|end|>\n<|user|>what now?<|end|>"
IN_FRONT = "<|system|>be kind\n\nbe brief<|end|>\n<|user|>hello<|end|>"


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Proxy, dict[str, Backend]]]:
    """Run a strict backend and one that reads every role, and a proxy with all ways for both."""
    folder = tmp_path_factory.mktemp("late")
    with ExitStack() as stack:
        backends = {
            # What LiteLLM is told of a model holds for all deployments with its name.
            name: Backend(stack.enter_context(simulator(folder, path, **{"model-name": name})))
            for name, path in TEMPLATES.items()
        }
        ways = [
            deployment(f"{name}-{way}", backend, late_system=way, chat_template=str(path))
            for way in WAYS
            for (name, path), backend in zip(TEMPLATES.items(), backends.values(), strict=True)
        ]
        rejecting = deployment("reject", backends["strict"], mode="reject")
        rejecting["litellm_params"]["model"] = "hosted_vllm/strict "
        config = {
            "model_list": [*ways, rejecting],
            "litellm_settings": {"callbacks": ["litellm_role_guard.role_guard"]},
            "router_settings": {"num_retries": 0},
        }
        yield Proxy(stack.enter_context(start_proxy(config, folder))), backends


def ask(
    proxy: Proxy, group: str, messages: list[dict[str, Any]], *, stream: bool
) -> httpx.Response:
    """Ask on /v1/messages, with system text at the front."""
    return proxy.ask("messages", group, messages, stream=stream, system="be kind")


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(
    ("template", "way", "read"),
    [
        ("strict", "auto", LABELLED),
        ("strict", "in_place", LABELLED),
        ("strict", "front", IN_FRONT),
        ("lenient", "auto", NATIVE),
        ("lenient", "in_place", NATIVE),
        ("lenient", "front", IN_FRONT),
    ],
)
def test_the_operator_says_where_it_goes(
    started: tuple[Proxy, dict[str, Backend]], template: str, way: str, read: str, stream: bool
) -> None:
    """A system turn of its own where the template reads it, the user's labelled words, or in front.

    Without LiteLLM's own note, and with the rest of the conversation as it was.
    """
    proxy, backends = started
    backends[template].forget()
    answer = ask(proxy, f"{template}-{way}", SAID, stream=stream)
    assert answer.status_code == 200, answer.text
    (call,) = backends[template].calls()
    assert read in call["prompt"]
    assert call["prompt"].count("be brief") == 1
    assert "not from the user" not in call["prompt"]
    assert ("x-role-guard" in answer.headers) is (read is not NATIVE)
