"""Many real LiteLLM proxies for the price of one: forked from a process that has imported it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .processes import free_port, launch

# Each child goes on as `litellm --config ...` in its config's folder, with a log of its own, and
# leaves its exit code there.
_PARENT = """
import os, sys
from litellm import run_server
import litellm.proxy.proxy_server
for config, port in zip(sys.argv[1::2], sys.argv[2::2]):
    if os.fork() == 0:
        folder = os.path.dirname(config)
        os.chdir(folder)
        log = os.open("proxy.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        sys.argv[1:] = ["--config", config, "--host", "127.0.0.1", "--port", port]
        code = 1
        try:
            run_server()
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", flush=True)
        finally:
            with open("exit", "w") as file:
                file.write(str(code))
            os._exit(code)
while True:
    try:
        os.wait()
    except ChildProcessError:
        break
"""


@contextmanager
def forked_proxies(configs: Sequence[Path]) -> Iterator[list[str]]:
    """Start a proxy on each config until the block is left; give their addresses.

    None is waited for. Each writes `proxy.log` beside its config, and its exit code to `exit`.

    Args:
        configs: The proxies' configs, each in a folder of its own.
    """
    ports = [free_port() for _ in configs]
    pairs = [str(each) for pair in zip(configs, ports, strict=True) for each in pair]
    folder = configs[0].parent.parent
    command = [sys.executable, "-c", f"import os; os.setsid()\n{_PARENT}", *pairs]
    kept = {"XDG_CACHE_HOME": str(folder / "cache")}
    parent = launch(command, folder, folder / "forked.log", kept)
    try:
        yield [f"http://127.0.0.1:{port}" for port in ports]
    finally:
        if parent.poll() is None:
            os.killpg(parent.pid, signal.SIGKILL)
        parent.wait()
