"""A /v1/messages request before LiteLLM translates it into chat messages.

LiteLLM (`llms/anthropic/pass_through/adapters`) fails with a 500 over most malformed ones, and
drops messages of a role, and content blocks of a type, that it does not know.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..messages.validation import find_validation_error
from .anthropic_blocks import with_all_blocks_read

ROLES = ("user", "assistant", "system", "developer")
"""The roles that are translated: LiteLLM's three, and `developer`, which it would drop."""


def find_anthropic_error(messages: object, system: object) -> str | None:
    """Say what makes a /v1/messages request no conversation, and at which message; None if nothing.

    Args:
        messages: What the client sent as `messages`.
        system: What the client sent as `system`.
    """
    fault = find_validation_error(messages)
    if fault is not None and fault.index is None:
        return str(fault)
    assert isinstance(messages, Sequence)  # or it would be a fault of the whole
    # System text beside the messages says something, too.
    beside = [{"role": "system", "content": system}] if system else []
    if fault is not None and find_validation_error([*beside, *messages]) is not None:
        return str(fault)
    for position, message in enumerate(messages):
        if message["role"] not in ROLES:
            known = ", ".join(ROLES)
            return f"messages[{position}]: unknown role {message['role']!r}; known are {known}"
    return None


def translatable(messages: object) -> list[Any] | None:
    """Return messages of which LiteLLM translates all; None where it does as they are.

    Args:
        messages: What the client sent as `messages`; malformed ones may go to groups that are not
            guarded, and are not this function's business.
    """
    if not isinstance(messages, list):
        return None
    if not any(map(_is_developer, messages)):
        return with_all_blocks_read(messages)
    renamed = [
        {**message, "role": "system"} if _is_developer(message) else message for message in messages
    ]
    return with_all_blocks_read(renamed) or renamed


def roles_of(messages: object) -> list[object]:
    """Return the role of each message, whatever the client has put there; None for none."""
    if not isinstance(messages, list):
        return []
    return [each.get("role") if isinstance(each, Mapping) else None for each in messages]


def _is_developer(message: object) -> bool:
    return isinstance(message, Mapping) and message.get("role") == "developer"
