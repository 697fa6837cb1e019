"""OpenAI's Codex, which speaks /v1/responses."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from subprocess import Popen

from litellm_role_guard.simulator.scripted import Call

from ..proxies import MASTER_KEY
from .program import Finished, Program, find_installed, finish
from .steps import COMPACTION, Step

NAME = "codex"

_CONFIG = """\
model = "{model}"
model_provider = "guarded"
model_context_window = {context}
check_for_update_on_startup = false

[model_providers.guarded]
name = "guarded"
base_url = "{url}/v1"
env_key = "LITELLM_KEY"
wire_api = "responses"

[features]
plugins = false
remote_plugin = false
apps = false
skill_search = false

[analytics]
enabled = false

[feedback]
enabled = false
"""
_EXECUTABLE = "node_modules/@openai/codex-*/vendor/*/bin/codex"


class Codex:
    """A chat with Codex.

    Args:
        url: The proxy's address.
        model: The model group.
        folder: Where its home and its working folder are put.
        environment: Further variables.
    """

    endpoint = "responses"
    further = (COMPACTION,)
    hand_over = None

    def __init__(self, url: str, model: str, folder: Path, environment: Mapping[str, str]) -> None:
        self._program = Program(
            [find_installed(NAME, _EXECUTABLE), "exec", "--skip-git-repo-check"],
            folder,
            {"LITELLM_KEY": MASTER_KEY, "CODEX_HOME": str(folder / "home"), **environment},
        )
        config = _CONFIG.format(model=model, url=url, context=200_000)
        (self._program.home / "config.toml").write_text(config)
        self.work = self._program.work
        self._resume: tuple[str, ...] = ()

    def read_file(self, name: str) -> Call:
        """Return the call of its shell that shows a file."""
        return Call("exec_command", json.dumps({"cmd": f"cat {name}"}))

    def ask(self, text: str) -> Finished:
        """Say something and wait for the answer."""
        return finish(self._start(text))

    def ask_and_stop(self, text: str, wait: Callable[[], None]) -> None:
        """Say something, and press Ctrl-C once the model was asked."""
        process = self._start(text)
        wait()
        finish(process, signal.SIGINT)

    def do(self, step: Step) -> Finished:
        """Say something when the chat has become too long, so that it is summed up first."""
        return finish(self._start(step.says, "-c", "model_auto_compact_token_limit=100"))

    def close(self) -> None:
        """Do nothing: it runs only while it is asked."""

    def _start(self, text: str, *options: str) -> Popen[str]:
        # Nobody is there to be asked whether a command may run; the working folder is a test's.
        started = self._program.start(
            "--sandbox", "danger-full-access", *options, *self._resume, text
        )
        self._resume = ("resume", "--last")
        return started
