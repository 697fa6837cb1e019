"""All agents that are tried."""

from __future__ import annotations

from functools import partial

from .claude_code import ClaudeCode
from .codex import Codex
from .opencode import OpenCode
from .trial import Client

_STRICT = frozenset({"gemma-3", "mistral-nemo", "llama3.1"})

CLIENTS = (
    Client("codex", "Codex", "responses", Codex, _STRICT),
    Client("claude-code", "Claude Code", "messages", ClaudeCode, _STRICT),
    *(
        Client("opencode", "OpenCode", endpoint, partial(OpenCode, endpoint=endpoint), _STRICT)
        for endpoint in ("chat", "messages", "responses")
    ),
)
