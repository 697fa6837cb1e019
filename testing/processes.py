"""LiteLLM proxies and simulated backends as processes of their own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

REPOSITORY = Path(__file__).parent.parent
START_SECONDS = 120.0

# No look-ups on the internet, and no advice about Redis.
QUIET = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_DISABLE_NO_REDIS_WARNING": "true",
    "LITELLM_TELEMETRY": "False",
}


def free_port() -> int:
    """Give a TCP port of 127.0.0.1 that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def launch(
    command: Sequence[str], folder: Path, log: Path, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a process and do not wait for it.

    Args:
        command: What to run.
        folder: Where to run it.
        log: Where its output goes.
        environment: Variables beside those of this process.
    """
    paths = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    with log.open("wb") as output:
        return subprocess.Popen(
            command,
            cwd=folder,
            env={
                **os.environ,
                **QUIET,
                "PYTHONPATH": paths.rstrip(os.pathsep),
                **(environment or {}),
            },
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def launch_proxy(
    config: Path, port: int, log: Path, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a LiteLLM proxy and do not wait for it.

    Args:
        config: Its config.yaml. Python modules beside it can be callbacks.
        port: Where it is to listen.
        log: Where its output goes.
        environment: Variables that the config names as `os.environ/...`.
    """
    # Profiles that it keeps are its own: another test's backend may have had the same port.
    environment = {"XDG_CACHE_HOME": str(config.parent / "cache"), **(environment or {})}
    main = "from litellm import run_server; run_server()"
    arguments = ["--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    return launch([sys.executable, "-c", main, *arguments], config.parent, log, environment)


@contextmanager
def proxy(
    config: Path, log: Path, environment: Mapping[str, str] | None = None, port: int | None = None
) -> Iterator[str]:
    """Run a LiteLLM proxy until the block is left; give its address.

    Args:
        config: Its config.yaml.
        log: Where its output goes.
        environment: Variables that the config names as `os.environ/...`.
        port: Where it is to listen; a free port by default.
    """
    port = port or free_port()
    process = launch_proxy(config, port, log, environment)
    with running(process, f"http://127.0.0.1:{port}", "/health/liveliness", log) as url:
        yield url


@contextmanager
def simulator(folder: Path, template: Path | None = None, **options: str) -> Iterator[str]:
    """Run a simulated vLLM until the block is left; give its address.

    Args:
        folder: Where to put the log.
        template: The chat template that it serves; its own strict one by default.
        options: Further options of `role-guard simulate`, by their names.
    """
    port = free_port()
    log = folder / f"simulator-{port}.log"
    main = "from litellm_role_guard.cli import main; main()"
    command = [sys.executable, "-c", main, "simulate", "--port", str(port)]
    if template is not None:
        command += ["--chat-template", str(template)]
    for name, value in options.items():
        command += [f"--{name}", value]
    with running(launch(command, folder, log), f"http://127.0.0.1:{port}", "/health", log) as url:
        yield url


@contextmanager
def running(
    process: subprocess.Popen[bytes],
    url: str,
    health: str,
    log: Path,
    seconds: float = START_SECONDS,
) -> Iterator[str]:
    """Wait until a process answers, and end it when the block is left.

    Raises:
        RuntimeError: It ended, or was not up in time; with the end of its log.
    """
    try:
        _wait(process, url + health, log, seconds)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], health: str, log: Path, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(health, timeout=2).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)  # a process that starts gives no event to wait for
    raise RuntimeError(f"not up: {process.args!r}\n{log.read_text()[-4000:]}")


def waited_for(path: Path, beginning: str) -> str:
    """Give the line of a file that has these words, once it is there."""
    deadline = time.monotonic() + 2 * START_SECONDS
    while time.monotonic() < deadline:
        for line in path.read_text().splitlines() if path.exists() else ():
            if beginning in line:
                return line
        time.sleep(0.2)  # another process writes it
    raise AssertionError(f"no {beginning!r} in {path.read_text()[-3000:]}")
