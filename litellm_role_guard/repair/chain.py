"""`repair(messages, profile)`: change a conversation only where its template would not read it.

The chain, from the least invasive step to the most:

    lift_front        system text with nothing said before it
    gather_front      system and developer text before the first turn
    settle_calls      tool calls that cannot be shown as they are
    arrange_turns     what may not stand where it does: content whose form is in the way, then
                      messages that are joined, re-roled or written as text
    close             what may not be the end

Every step decides on a message by what stands before it, so that a conversation that grows keeps
its rendered beginning, and with it the backend's prefix cache.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from ..messages.message import Message
from ..profile.template_profile import TemplateProfile
from .change import Change
from .context import RepairContext
from .ending import ensure_valid_ending
from .in_place import repaired_in_place
from .leading_system import as_merged_by_server, merge_leading_system, mirror_system_hoisting
from .tool_calls import normalize_tool_calls
from .turn import Turn, merge_changes
from .turn_placer import place_turns

__all__ = ["SEPARATOR", "STEPS", "Change", "Repair", "repair"]


SEPARATOR = "\n\n"
"""What stands between joined texts; Mistral's own reference code joins with a blank line, too."""


class Repair(NamedTuple):
    """A conversation that its template takes and reads, and how it came to be.

    Attributes:
        messages: The very list that was given where nothing was in the way.
        changes: What was done; empty where nothing was.
    """

    messages: Sequence[Message]
    changes: tuple[Change, ...]


STEPS: tuple[Callable[[list[Turn], RepairContext], list[Turn]], ...] = (
    mirror_system_hoisting,
    merge_leading_system,
    normalize_tool_calls,
    place_turns,
    ensure_valid_ending,
)


def repair(
    messages: Sequence[Message],
    profile: TemplateProfile,
    *,
    tools: Sequence[Mapping[str, Any]] | None = None,
    separator: str = SEPARATOR,
    placeholder: str = "",
    prefill: bool = False,
) -> Repair:
    """Give a conversation that the template reads whole; the one given where it does already.

    Args:
        messages: A conversation in which `find_validation_error` finds none. It is not changed.
        profile: What the template accepts and drops.
        tools: The request's tool definitions; templates may judge otherwise when there are some.
        separator: What stands between two joined texts.
        placeholder: The text of a turn that has to be invented. Empty: an empty turn, or "..."
            where the template takes no empty one.
        prefill: Whether the last message is the opening of the reply, to be left alone.
    """
    rules = profile.rules(tools=bool(tools))
    if not prefill:
        in_place = repaired_in_place(messages, rules, separator, placeholder)
        if in_place is not None:
            return Repair(*in_place)
    return repaired_by_steps(messages, RepairContext(rules, separator, placeholder, prefill))


def repaired_by_steps(messages: Sequence[Message], draft: RepairContext) -> Repair:
    """Give the same by going through all steps, whatever the conversation is.

    Args:
        messages: The conversation.
        draft: The rules and settings, and an empty list of changes.
    """
    turns = [Turn.of(message, index) for index, message in enumerate(messages)]
    merged_by_server = as_merged_by_server(turns, draft.rules)
    if (
        merged_by_server is not None
        and not _repaired(merged_by_server, replace(draft, changes=[]))[1]
    ):
        return Repair(messages, ())
    repaired, changes = _repaired(turns, draft)
    if not changes:
        return Repair(messages, ())
    return Repair([turn.message for turn in repaired], changes)


def _repaired(turns: list[Turn], draft: RepairContext) -> tuple[list[Turn], tuple[Change, ...]]:
    opening = None
    if draft.prefill and turns and turns[-1].message["role"] == "assistant":
        turns, opening = turns[:-1], turns[-1]
    for step in STEPS:
        turns = step(turns, draft)
    if opening is not None:
        turns = [*turns, opening]
    return turns, (*draft.changes, *merge_changes(turns))
