"""A proxy learns what its backends take from the backends themselves, at their first request."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from litellm_role_guard.plugin.profile_refresher import COOLDOWN_SECONDS
from litellm_role_guard.probing.telling import TELLING
from testing.gpu import NO_TOOLS, PLAIN, RIDDLE, STRICT, WITH_TOOLS, Gpu, gpu
from testing.proxied import ENDPOINTS, RUN, Backend, Proxy, answered, deployment
from testing.proxies import start_proxy

PATIENCE: dict[str, Any] = {"learn_wait": 30}
# By what a profile is known again: these, and what goes before them.
ASKED_AGAIN = len(TELLING) + 2
CROWD = 50


@pytest.fixture(scope="module")
def gpus() -> Iterator[dict[str, Gpu]]:
    """Serve a backend of its own to each group."""
    templates = {
        **{f"plain-{endpoint}": PLAIN for endpoint in ENDPOINTS},
        "silent": NO_TOOLS,
        "crowd": NO_TOOLS,
        "hung": STRICT,
        "replaced": PLAIN,
        "riddle": PLAIN,
    }
    with ExitStack() as stack:
        yield {name: stack.enter_context(gpu(template)) for name, template in templates.items()}


@pytest.fixture(scope="module")
def learning(gpus: dict[str, Gpu], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """Run a proxy that nobody has told a template."""
    groups = [
        deployment(name, Backend(served.url), **({} if name == "hung" else PATIENCE))
        for name, served in gpus.items()
    ]
    config = {
        "model_list": groups,
        "litellm_settings": {"callbacks": ["litellm_role_guard.role_guard"]},
        "router_settings": {"num_retries": 0, "disable_cooldowns": True},
    }
    with start_proxy(config, tmp_path_factory.mktemp("learning")) as url:
        yield Proxy(url)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_lenient_backend_gets_what_the_client_sent(
    learning: Proxy, gpus: dict[str, Gpu], endpoint: str
) -> None:
    """The first request already is sent as it came, on all endpoints."""
    response = learning.ask(endpoint, f"plain-{endpoint}", RUN)
    assert answered(response), response.text
    assert "x-role-guard" not in response.headers
    path = "/v1/responses" if endpoint == "responses" else "/v1/chat/completions"
    (call,) = gpus[f"plain-{endpoint}"].received(path)
    sent = call["body"]["input" if endpoint == "responses" else "messages"]
    assert len(sent) == len(RUN)


def test_what_a_backend_drops_in_silence_is_read(learning: Proxy, gpus: dict[str, Gpu]) -> None:
    """Tool turns that its template passes over are text in the very first request."""
    response = learning.ask("chat", "silent", WITH_TOOLS)
    assert answered(response), response.text
    (call,) = gpus["silent"].calls()
    assert "ten past six" in call["prompt"]
    assert call["prompt"].startswith("<|user|>hi")


def test_a_crowd_of_first_requests_learns_once(learning: Proxy, gpus: dict[str, Gpu]) -> None:
    """Fifty at once are all right, and no conversation is put to the backend twice."""

    def ask(_: int) -> httpx.Response:
        return learning.ask("chat", "crowd", WITH_TOOLS)

    with ThreadPoolExecutor(CROWD) as pool:
        responses = list(pool.map(ask, range(CROWD)))
    assert all(map(answered, responses))
    prompts = [call["prompt"] for call in gpus["crowd"].calls()]
    assert len(prompts) == CROWD
    assert all("ten past six" in prompt for prompt in prompts)
    asked = [str(request["body"]) for request in gpus["crowd"].received("/tokenize")]
    assert len(asked) - len(set(asked)) <= 2 + ASKED_AGAIN


def test_a_hung_tokenize_holds_nobody(learning: Proxy, gpus: dict[str, Gpu]) -> None:
    """The request is repaired as for a strict template, and answered."""
    fault: dict[str, Any] = {"fault": "hang", "paths": ["/tokenize"]}
    httpx.post(f"{gpus['hung'].url}/control", json=fault)
    for _ in range(3):
        response = learning.ask("chat", "hung", RUN)
        assert answered(response), response.text
        assert response.headers["x-role-guard"] == "merged=1"
    httpx.post(f"{gpus['hung'].url}/control", json={"fault": None})


@pytest.mark.parametrize("name", ["replaced", "riddle"])
def test_a_replaced_backend_is_learnt_within_one_request(
    learning: Proxy, gpus: dict[str, Gpu], name: str
) -> None:
    """Whether the words of its refusal are known or not: one more call, and from then on none."""
    assert answered(learning.ask("chat", name, RUN))
    assert [call["status"] for call in gpus[name].calls()] == [200]
    gpus[name].serve(STRICT if name == "replaced" else RIDDLE)
    rest()
    for _ in range(2):
        assert answered(learning.ask("chat", name, RUN))
    assert [call["status"] for call in gpus[name].calls()] == [400, 200, 200]


def rest() -> None:
    """Let the time pass in which a refusal is no reason to ask a backend again."""
    time.sleep(COOLDOWN_SECONDS)


def test_the_log_tells_once_of_each_backend(learning: Proxy, tmp_path_factory: Any) -> None:
    """What was learnt stands there in one line, and nothing of what was asked."""
    log = (Path(tmp_path_factory.getbasetemp()) / "learning0" / "proxy.log").read_text()
    lines = [line for line in log.splitlines() if "learnt in " in line]
    assert len(lines) >= 6
    assert "zq0" not in log
    assert "ten past six" not in log
