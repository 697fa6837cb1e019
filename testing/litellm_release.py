"""What differs among the releases of LiteLLM that the tests run on (`make test-matrix`)."""

from __future__ import annotations

import importlib
import importlib.util
from importlib.metadata import version
from typing import Any

RELEASE = tuple(int(part) for part in version("litellm").split(".")[:2])
"""LiteLLM's version, up to the minor one."""


ANTHROPIC_ERRORS = RELEASE >= (1, 104)
"""Whether errors on /v1/messages have Anthropic's own shape around them."""


SDK_NAMES_CALLS = RELEASE >= (1, 104)
"""Whether a call that no proxy makes has its logging object before the deployment hooks run."""


def anthropic_adapter() -> Any:
    """Return what turns a request to /v1/messages into one for chat, wherever it is."""
    parent = "litellm.llms.anthropic"
    has_moved = importlib.util.find_spec(f"{parent}.pass_through") is not None
    package = "pass_through" if has_moved else "experimental_pass_through"
    adapters = importlib.import_module(f"{parent}.{package}.adapters.transformation")
    return adapters.LiteLLMAnthropicMessagesAdapter()
