"""The laws that repairs are known to break, each on a template and for a kind of conversation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from litellm_role_guard.messages.message import is_empty, tool_calls


class _Exemption(NamedTuple):
    """A law that the repair of some conversations is known to break."""

    law: str | tuple[str, ...]  # how it begins
    holds_for: Callable[[list[dict[str, Any]]], bool]


def _has_empty(messages: list[dict[str, Any]]) -> bool:
    return any(is_empty(message) for message in messages)


def _has_no_user(messages: list[dict[str, Any]]) -> bool:
    return all(message["role"] != "user" for message in messages)


# Named exemptions of 2026-11-26, each of a template and a kind of conversation.
_EXEMPT = {
    # No rule about what follows what tells which last message is shown alone.
    "axolotl-last_words": _Exemption("minimal", lambda messages: True),
    # Of late system messages it reads one, and an empty one does not count.
    "trl-cohere2": _Exemption("minimal", _has_empty),
    # Of 2026-11-27: an empty result of no call hides the system message behind it from the rules.
    "trl-gemma4_v3": _Exemption("minimal", _has_no_user),
    # It numbers the calls itself, whatever their ids are.
    "axolotl-command_a_tool_use": _Exemption(
        "minimal", lambda messages: any(map(tool_calls, messages))
    ),
    "axolotl-command_a_rag": _Exemption("minimal", lambda messages: any(map(tool_calls, messages))),
    # An empty message hides from the rules which turns it takes in a row.
    "axolotl-phi_4": _Exemption("minimal", _has_empty),
    # It takes a result across a user's words, which the profile does not ask about.
    "trl-gptoss": _Exemption("minimal", lambda messages: any(map(tool_calls, messages))),
}


def unexpected(
    broken: Iterable[str], template: str, messages: list[dict[str, Any]]
) -> Iterator[str]:
    """Yield the broken laws that are not known to be.

    Args:
        broken: What `broken_laws` returned.
        template: The template's name.
        messages: The conversation.
    """
    exempt = _EXEMPT.get(template)
    for law in broken:
        if exempt is None or not law.startswith(exempt.law) or not exempt.holds_for(messages):
            yield law
