"""All agents that are tried."""

from __future__ import annotations

from functools import partial

from litellm_role_guard.simulator.scripted import Call

from .claude_code import ClaudeCode
from .codex import Codex
from .framework import Framework, Kind
from .opencode import OpenCode
from .steps import HALF_REPLY, HAND_OVER, LATE_INSTRUCTION, REGENERATE
from .trial import Client

_STRICT = frozenset({"gemma-3", "mistral-nemo", "llama3.1"})
_OPENCODE = _STRICT - {"mistral-nemo"}
_BREAKS_ON = {"chat": _OPENCODE, "messages": _OPENCODE, "responses": _STRICT | {"qwen-3"}}
"""Of OpenCode: for a model with "mistral" in its name it writes ids and turns as those templates
want them. vLLM takes no item of /v1/responses in the form in which it sends answers."""
_BY_HAND = (HALF_REPLY, REGENERATE, LATE_INSTRUCTION)
_TO_CHECKER = Call("transfer_to_checker", "{}")


def _framework(
    title: str, name: str, endpoint: str = "chat", hand_over: Call | None = _TO_CHECKER
) -> Client:
    kind = Kind(name, f"with_{name.replace('-', '_')}.py", endpoint, (HAND_OVER,), hand_over)
    return Client(name, title, endpoint, partial(Framework, kind), _STRICT)


def _sdk(title: str, name: str, endpoint: str) -> Client:
    kind = Kind(name, f"with_{name}.py", endpoint, _BY_HAND)
    return Client(name, title, endpoint, partial(Framework, kind), _STRICT)


CLIENTS = (
    Client("codex", "Codex", "responses", Codex, _STRICT),
    Client("claude-code", "Claude Code", "messages", ClaudeCode, _STRICT),
    *(
        Client("opencode", "OpenCode", endpoint, partial(OpenCode, endpoint=endpoint), breaks_on)
        for endpoint, breaks_on in _BREAKS_ON.items()
    ),
    _sdk("OpenAI SDK", "openai", "chat"),
    _sdk("OpenAI SDK", "openai", "responses"),
    _sdk("Anthropic SDK", "anthropic", "messages"),
    _framework("OpenAI Agents SDK", "openai-agents"),
    _framework("OpenAI Agents SDK", "openai-agents", "responses"),
    _framework("LangGraph", "langgraph"),
    _framework("pydantic-ai", "pydantic-ai", hand_over=None),
    _framework("AutoGen", "autogen"),
    _framework(
        "Google ADK",
        "google-adk",
        hand_over=Call("transfer_to_agent", '{"agent_name": "checker"}'),
    ),
)
