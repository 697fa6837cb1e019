"""Anthropic's Claude Code, which speaks /v1/messages."""

from __future__ import annotations

import json
from collections.abc import Sequence

from litellm_role_guard.simulator.scripted import Call

from ..proxies import MASTER_KEY
from .one_shot import OneShot
from .place import Place
from .program import Finished, find_installed
from .steps import Step

NAME = "claude-code"

MODELS = (
    "ANTHROPIC_MODEL",
    "ANTHROPIC_DEFAULT_HAIKU_MODEL",
    "ANTHROPIC_DEFAULT_OPUS_MODEL",
    "ANTHROPIC_DEFAULT_SONNET_MODEL",
)
QUIET = {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}  # telemetry, errors, updates, and more
_EXECUTABLE = "node_modules/@anthropic-ai/claude-code-*/claude"


class ClaudeCode(OneShot):
    """A chat with Claude Code.

    Args:
        place: Where it is had.
    """

    endpoint = "messages"

    def __init__(self, place: Place) -> None:
        point = {"ANTHROPIC_BASE_URL": place.url, "ANTHROPIC_AUTH_TOKEN": MASTER_KEY}
        program = place.program(
            [find_installed(NAME, _EXECUTABLE), "--print", "--permission-mode", "dontAsk"],
            {**point, **dict.fromkeys(MODELS, place.model), **QUIET},
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
