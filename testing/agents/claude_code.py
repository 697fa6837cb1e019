"""Anthropic's Claude Code, which speaks /v1/messages."""

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

NAME = "claude-code"

_MODELS = (
    "ANTHROPIC_MODEL",
    "ANTHROPIC_DEFAULT_HAIKU_MODEL",
    "ANTHROPIC_DEFAULT_OPUS_MODEL",
    "ANTHROPIC_DEFAULT_SONNET_MODEL",
)
_QUIET = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",  # telemetry, errors, updates, and more
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "DISABLE_TELEMETRY": "1",
}
_EXECUTABLE = "node_modules/@anthropic-ai/claude-code-*/claude"


class ClaudeCode:
    """A chat with Claude Code.

    Args:
        url: The proxy's address.
        model: The model group.
        folder: Where its home and its working folder are put.
        environment: Further variables.
    """

    endpoint = "messages"
    further = (COMPACTION,)
    hand_over = None

    def __init__(self, url: str, model: str, folder: Path, environment: Mapping[str, str]) -> None:
        point = {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_AUTH_TOKEN": MASTER_KEY}
        models = dict.fromkeys(_MODELS, model)
        self._program = Program(
            [find_installed(NAME, _EXECUTABLE), "--print", "--permission-mode", "dontAsk"],
            folder,
            {**point, **models, **_QUIET, **environment},
        )
        self.work = self._program.work
        self._resume: tuple[str, ...] = ()

    def read_file(self, name: str) -> Call:
        """Return the call of its tool that shows a file."""
        return Call("Read", json.dumps({"file_path": str(self.work / name)}))

    def ask(self, text: str) -> Finished:
        """Say something and wait for the answer."""
        return finish(self._start(text))

    def ask_and_stop(self, text: str, wait: Callable[[], None]) -> None:
        """Say something, and press Ctrl-C once the model was asked."""
        process = self._start(text)
        wait()
        finish(process, signal.SIGINT)

    def do(self, step: Step) -> Finished:
        """Have the chat summed up, and say something then."""
        finish(self._start("/compact"))
        return self.ask(step.says)

    def close(self) -> None:
        """Do nothing: it runs only while it is asked."""

    def _start(self, text: str) -> Popen[str]:
        started = self._program.start(text, *self._resume, "--allowedTools", "Read")
        self._resume = ("--continue",)
        return started
