"""The laws that repairs are known to break, each on a template and for a kind of conversation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

from litellm_role_guard.messages.message import has_media, is_empty, tool_calls


class _Exemption(NamedTuple):
    """A law that the repair of some conversations is known to break."""

    law: str | tuple[str, ...]  # how it begins
    holds_for: Callable[[list[dict[str, Any]]], bool]


def _has_empty(messages: list[dict[str, Any]]) -> bool:
    return any(is_empty(message) for message in messages)


def _has_late_results_of_two_rounds(messages: list[dict[str, Any]]) -> bool:
    said = [message["role"] for message in messages]
    follows_words = any(pair == ("user", "tool") for pair in pairwise(said))
    return follows_words and sum(bool(tool_calls(message)) for message in messages) > 1


# Named exemptions of 2026-11-26, each of a template and a kind of conversation.
_EXEMPT = {
    # No rule about what follows what tells which last message is shown alone.
    "axolotl-last_words": _Exemption("minimal", lambda messages: True),
    # Of late system messages it reads one, and an empty one does not count.
    "trl-cohere2": _Exemption("minimal", _has_empty),
    # A developer message behind an empty result alone is printed by its name.
    "axolotl-gemma4": _Exemption("right", lambda messages: is_empty(messages[0])),
    "axolotl-gemma4_unified": _Exemption("right", lambda messages: is_empty(messages[0])),
    "trl-gemma4": _Exemption("right", lambda messages: is_empty(messages[0])),
    # An empty developer message hides the result of no call behind it.
    "trl-diffusion_gemma": _Exemption(("whole", "right"), _has_empty),
    "axolotl-gemma4_v5": _Exemption("whole", _has_empty),
    # It refuses an image beside any system message, and writes results as JSON.
    "axolotl-llama3_2_vision": _Exemption("", lambda messages: any(map(has_media, messages))),
    # It numbers the calls itself, whatever their ids are.
    "axolotl-command_a_tool_use": _Exemption(
        "minimal", lambda messages: any(map(tool_calls, messages))
    ),
    "axolotl-command_a_rag": _Exemption("minimal", lambda messages: any(map(tool_calls, messages))),
    # An empty message hides from the rules which turns it takes in a row.
    "axolotl-phi_4": _Exemption("minimal", _has_empty),
    # The results of two rounds, one of them without its first, come behind the user's next words.
    "trl-qwen3_5_think": _Exemption(("right", "idempotent"), _has_late_results_of_two_rounds),
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
