"""Two proxies with one Redis: what one has learnt the other uses; a Redis may go at any time."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from litellm_role_guard.probing.telling import TELLING
from testing.gpu import NO_TOOLS, PLAIN, STRICT, WITH_TOOLS, Gpu, gpu
from testing.processes import free_port
from testing.proxied import Backend, Proxy, answered, deployment
from testing.proxies import start_proxy

PROGRAM = shutil.which("redis-server")
START_SECONDS = 20.0
RUN = [*WITH_TOOLS[3:], WITH_TOOLS[0]]
# By what a profile is known again: these, and what goes before them.
ASKED_AGAIN = len(TELLING) + 2

pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason="no redis-server; `apt-get install redis-server` brings it"
)


class Redis:
    """A real Redis that keeps nothing on the disk."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        command = [str(PROGRAM), *options, "--dir", str(self._folder)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                    return
            except OSError:
                time.sleep(0.05)  # a process that starts gives no event to wait for
        raise RuntimeError("redis-server does not start")

    def stop(self) -> None:
        """Stop it, if it runs."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=20)
            self._process = None


@contextmanager
def running_redis(folder: Path) -> Iterator[Redis]:
    """Run a Redis until the block is left."""
    redis = Redis(folder)
    redis.start()
    try:
        yield redis
    finally:
        redis.stop()


class Site(NamedTuple):
    """Two proxies, their backends and their Redis."""

    router: Proxy
    cache: Proxy
    gpus: dict[str, Gpu]
    redis: Redis


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Run two proxies that name the same Redis in the two ways that LiteLLM documents."""
    templates = {"shared": NO_TOOLS, "swapped": PLAIN, "alone": PLAIN}
    with ExitStack() as stack:
        gpus = {name: stack.enter_context(gpu(template)) for name, template in templates.items()}
        redis = stack.enter_context(running_redis(tmp_path_factory.mktemp("redis")))
        groups = [deployment(name, Backend(each.url), learn_wait=30) for name, each in gpus.items()]
        address = {"host": "127.0.0.1", "port": redis.port}
        config: dict[str, Any] = {
            "model_list": groups,
            "litellm_settings": {"callbacks": ["litellm_role_guard.role_guard"]},
            "router_settings": {"num_retries": 0, "disable_cooldowns": True},
        }
        by_router = {
            **config,
            "router_settings": {
                **config["router_settings"],
                **{f"redis_{name}": value for name, value in address.items()},
            },
        }
        by_cache = {
            **config,
            "litellm_settings": {
                **config["litellm_settings"],
                "cache": True,
                # For LiteLLM's own counters only: no answer is taken from it.
                "cache_params": {"type": "redis", **address, "supported_call_types": []},
            },
        }

        def started(config: dict[str, Any], name: str) -> Proxy:
            return Proxy(stack.enter_context(start_proxy(config, tmp_path_factory.mktemp(name))))

        router = started(by_router, "by-router")
        for name in gpus:
            assert answered(router.ask("chat", name, WITH_TOOLS))  # it knows them all by now
        yield Site(router, started(by_cache, "by-cache"), gpus, redis)


def forget(served: Gpu) -> None:
    """Forget what a backend received."""
    httpx.delete(f"{served.url}/control/requests").raise_for_status()


def test_what_one_proxy_learnt_the_other_uses_without_asking(site: Site) -> None:
    """Its first request is right, and it put no conversation to the backend at its start."""
    served = site.gpus["shared"]
    asked = [str(request["body"]) for request in served.received("/tokenize")]
    assert asked
    assert len(asked) - len(set(asked)) <= 2 + ASKED_AGAIN
    forget(served)
    assert answered(site.cache.ask("chat", "shared", WITH_TOOLS))
    (call,) = served.calls()
    assert "ten past six" in call["prompt"]
    assert served.received("/tokenize") == []


def test_a_replaced_backend_is_learnt_once_more_by_who_is_refused(site: Site) -> None:
    """What the Redis says of it is not believed against the backend's own word."""
    served = site.gpus["swapped"]
    forget(served)
    for proxy in (site.router, site.cache):
        assert answered(proxy.ask("chat", "swapped", RUN))
    served.serve(STRICT)
    for proxy in (site.router, site.cache):
        for _ in range(2):
            assert answered(proxy.ask("chat", "swapped", RUN))
    assert [call["status"] for call in served.calls()] == [400, 200, 200, 400, 200, 200]


def test_nobody_fails_when_the_redis_is_gone(site: Site) -> None:
    """What is known stays known, and each proxy learns by itself what has changed."""
    site.redis.stop()
    alone, known = site.gpus["alone"], site.gpus["shared"]
    alone.serve(STRICT)
    forget(known)
    for proxy in (site.router, site.cache):
        response = proxy.ask("chat", "shared", WITH_TOOLS)
        assert answered(response), response.text
        for _ in range(2):
            assert answered(proxy.ask("chat", "alone", RUN))
    assert known.received("/tokenize") == []
    assert [call["status"] for call in alone.calls()] == [400, 200, 200, 400, 200, 200]
    site.redis.start()
    for proxy in (site.router, site.cache):
        assert answered(proxy.ask("chat", "shared", WITH_TOOLS))
