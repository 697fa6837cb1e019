"""Anthropic's Claude Code, which speaks /v1/messages."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from litellm_role_guard.simulator.scripted import Call

from ..proxies import MASTER_KEY
from .one_shot import OneShot
from .program import Finished, Program, find_installed
from .steps import Step

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


class ClaudeCode(OneShot):
    """A chat with Claude Code.

    Args:
        url: The proxy's address.
        model: The model group.
        folder: Where its home and its working folder are put.
        environment: Further variables.
    """

    endpoint = "messages"

    def __init__(self, url: str, model: str, folder: Path, environment: Mapping[str, str]) -> None:
        point = {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_AUTH_TOKEN": MASTER_KEY}
        models = dict.fromkeys(_MODELS, model)
        program = Program(
            [find_installed(NAME, _EXECUTABLE), "--print", "--permission-mode", "dontAsk"],
            folder,
            {**point, **models, **_QUIET, **environment},
        )
        super().__init__(program)

    def read_file(self, name: str) -> Call:
        """Return the call of its tool that shows a file."""
        return Call("Read", json.dumps({"file_path": str(self.work / name)}))

    def do(self, step: Step) -> Finished:
        """Have the chat summed up, and say something then."""
        self.ask("/compact")
        return self.ask(step.says)

    def arguments(self, text: str, *, resumes: bool) -> Sequence[str]:
        """Return the arguments with which it is asked something, in a new chat or in its last."""
        return (text, *(("--continue",) if resumes else ()), "--allowedTools", "Read")
