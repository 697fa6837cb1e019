"""`repair(messages, profile)`: change a conversation only where its template would not read it.

A fast scan finds most conversations sound. Client text that looks like a label is made inert
(`inert_labels.py`): always where the template needs labels, elsewhere once one is written. Then
comes the chain of steps, from the least invasive to the most:

    mirror_system_hoisting  system text with nothing said before it
    merge_leading_system    system and developer text before the first turn
    normalize_tool_calls    tool calls that cannot be shown as they are
    place_turns             what may not stand where it does: content whose form is in the way, then
                            messages that are joined, re-roled or written as text
    ensure_valid_ending     what may not be the end

Every step decides on a message by what stands before it, so that a conversation that grows keeps
its rendered beginning, and with it the backend's prefix cache.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from ..messages.message import Message
from ..profile.template_profile import TemplateProfile
from .call_ids import confuses_ids, with_all_own_ids
from .change import Change
from .context import RepairContext, Step, StepResult, run_steps
from .control_tokens import WHY, Markers
from .ending import ensure_valid_ending, make_room_for_prefill
from .inert_labels import with_inert_labels, with_own_labels, writes_labels
from .labels import DEFAULT_FORM, LabelForm
from .leading_system import merge_leading_system, mirror_system_hoisting
from .policy import RepairPolicy
from .scan import needs_no_repair
from .system_merging import as_merged_by_server
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


STEPS: tuple[Step, ...] = (
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
    labelled: Collection[int] = (),
    label_form: LabelForm = DEFAULT_FORM,
    escape_markers: bool = False,
) -> Repair:
    """Return a conversation that the template reads whole; the one given where it does already.

    Args:
        messages: A conversation in which `find_validation_error` finds nothing. It is not changed.
        profile: What the template accepts and drops.
        tools: The request's tool definitions; templates may judge otherwise when there are some.
        separator: What stands between two joined texts.
        placeholder: The text of a turn that has to be invented. Empty: an empty turn, or "..."
            where the template takes no empty one.
        prefill: Whether the last message is the opening of the reply, to be left alone.
        labelled: The positions of user messages whose text begins with a label that tells what it
            is. Where the user's words are joined behind one, these get a label, too.
        label_form: How labels are written.
        escape_markers: Whether text that would be read as a marker of a turn is made inert.
    """
    policy = RepairPolicy.of(profile.rules(tools=bool(tools)))
    markers = Markers.of(profile) if escape_markers else None
    is_forged = bool(labelled) and label_form.is_in(messages)
    if not prefill and not is_forged and needs_no_repair(messages, policy, label_form):
        return _escaped(Repair(messages, ()), range(len(messages)), markers)
    context = RepairContext(policy, separator, placeholder, prefill, labelled, label_form, markers)
    return repair_by_steps(messages, context)


def repair_by_steps(messages: Sequence[Message], context: RepairContext) -> Repair:
    """Return the same as `repair` by the chain alone, whatever the conversation is.

    Args:
        messages: The conversation.
        context: What the steps go by.
    """
    turns = [
        Turn.of(message, index, labelled=index in context.labelled)
        for index, message in enumerate(messages)
    ]
    inert = with_inert_labels(turns, context)
    if context.policy.needs_labels:
        result = _repaired(inert, context)
    else:
        result = _repaired(StepResult(turns, []), context)
        if inert.changes and writes_labels(result.turns):
            result = _repaired(inert, context)
    if not result.changes:
        return _escaped(Repair(messages, ()), range(len(messages)), context.markers)
    repaired = with_own_labels(result.turns, set(map(id, messages)))
    made = Repair([turn.message for turn in repaired], tuple(result.changes))
    return _escaped(made, [turn.origins for turn in repaired], context.markers)


def _escaped(
    repaired: Repair, origins: Sequence[int | tuple[int, ...]], markers: Markers | None
) -> Repair:
    """Return a repair in whose texts nothing is a marker, joined and labelled as they are.

    Args:
        repaired: What is sent.
        origins: By message: the positions in the input of what is in it.
        markers: What is made inert.
    """
    if markers is None:
        return repaired
    inert = markers.inert(repaired.messages)
    changes = []
    for message, before, at in zip(inert, repaired.messages, origins, strict=True):
        if message is not before:
            changes.append(Change("markers", at if isinstance(at, tuple) else (at,), WHY))
    return Repair(inert, (*repaired.changes, *changes)) if changes else repaired


def _repaired(given: StepResult, context: RepairContext) -> StepResult:
    """Return what the chain makes of turns, after the changes that were made already."""
    merged = as_merged_by_server(given.turns, context.policy)
    if merged is not None and not _run_chain(merged, context).changes:
        return given
    turns, changes = _run_chain(given.turns, context)
    return StepResult(turns, [*given.changes, *changes])


def _run_chain(turns: list[Turn], context: RepairContext) -> StepResult:
    prefill = []
    if context.prefill and turns and turns[-1].message["role"] == "assistant":
        turns, prefill = turns[:-1], turns[-1:]
    made, changes = run_steps(STEPS, turns, context)
    if confuses_ids(turns, made):
        made, changes = run_steps((with_all_own_ids, *STEPS), turns, context)
    if prefill:
        made, changed = make_room_for_prefill(made, context)
        changes = [*changes, *changed]
    turns = made + prefill
    return StepResult(turns, [*changes, *merge_changes(turns)])
