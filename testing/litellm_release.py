"""What differs among the releases of LiteLLM that the tests run on (`make test-matrix`)."""

from __future__ import annotations

import importlib
import importlib.util
from importlib.metadata import version
from typing import Any

import pytest
from litellm.types.utils import CallTypes

RELEASE = tuple(int(part) for part in version("litellm").split(".")[:2])
"""LiteLLM's version, up to the minor one."""


ANTHROPIC_ERRORS = RELEASE >= (1, 104)
"""Whether errors on /v1/messages have Anthropic's own shape around them."""


SDK_NAMES_CALLS = RELEASE >= (1, 104)
"""Whether a call that no proxy makes has its logging object before the deployment hooks run."""


NAMES_ERRORS = RELEASE >= (1, 104)
"""Whether the 400 of a deployment hook says of which type it is."""


HAS_STORED_CALLS = "aget_responses" in {each.value for each in CallTypes}
"""Whether hooks are told that a call reads, lists or deletes a stored response."""


told_of_stored_calls = pytest.mark.skipif(
    not HAS_STORED_CALLS, reason="this LiteLLM does not tell hooks what is asked about a response"
)


def anthropic_adapter() -> Any:
    """Return what turns a request to /v1/messages into one for chat, wherever it is."""
    parent = "litellm.llms.anthropic"
    has_moved = importlib.util.find_spec(f"{parent}.pass_through") is not None
    package = "pass_through" if has_moved else "experimental_pass_through"
    adapters = importlib.import_module(f"{parent}.{package}.adapters.transformation")
    return adapters.LiteLLMAnthropicMessagesAdapter()
