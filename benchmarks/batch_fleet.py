"""A LiteLLM proxy with the guard and two workers, before simulated backends, for batches."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from testing.processes import free_port, launch, running, simulator
from testing.proxies import write_config

WORKERS = 2
BACKENDS = 2
GROUP = "gemma3"

# uvicorn ends a worker that does not answer its supervisor within 5 s, which all of these
# processes on two cores may make it wait.
_HEALTHCHECK_SECONDS = "60"
_START_SECONDS = 600.0
_STARTED = re.compile(r"Application startup complete")
_RUNNING = re.compile(r"^vllm:num_requests_running\S* (\S+)$", re.MULTILINE)


@contextmanager
def fleet(folder: Path, latency: float) -> Iterator[tuple[str, Sequence[str]]]:
    """Run them until the block is left; give the proxy's address and those of the backends.

    Args:
        folder: Where to put the config and the logs.
        latency: Seconds that each answer takes.
    """
    with ExitStack() as stack:
        options = {"latency": str(latency), "model": GROUP}
        backends = [
            stack.enter_context(simulator(folder, None, **options)) for _ in range(BACKENDS)
        ]
        models = [
            {
                "model_name": GROUP,
                "litellm_params": {
                    "model": f"hosted_vllm/{GROUP}",
                    "api_base": f"{url}/v1",
                    "api_key": "none",
                },
            }
            for url in backends
        ]
        config = {
            "model_list": models,
            "litellm_settings": {"callbacks": ["litellm_role_guard.role_guard"]},
            "router_settings": {"num_retries": 0, "disable_cooldowns": True},
        }
        port, log = free_port(), folder / "proxy.log"
        main = "from litellm import run_server; run_server()"
        arguments = ["--config", str(write_config(config, folder)), "--host", "127.0.0.1"]
        arguments += ["--port", str(port), "--num_workers", str(WORKERS)]
        arguments += ["--timeout_worker_healthcheck", _HEALTHCHECK_SECONDS]
        process = launch([sys.executable, "-c", main, *arguments], folder, log)
        url = f"http://127.0.0.1:{port}"
        stack.enter_context(running(process, url, "/health/liveliness", log, _START_SECONDS))
        deadline = time.monotonic() + _START_SECONDS
        while len(_STARTED.findall(log.read_text())) < WORKERS and time.monotonic() < deadline:
            time.sleep(0.2)  # one worker is up, and gives no event when the other is
        yield url, backends


def under_way(backends: Sequence[str]) -> float:
    """Give how many requests the backends are answering now."""
    return sum(
        float(found)
        for url in backends
        for found in _RUNNING.findall(httpx.get(f"{url}/metrics", timeout=10).text)
    )
