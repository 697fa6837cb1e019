"""A conversation's end, after which a reply may be asked for."""

from __future__ import annotations

from collections.abc import Sequence

from ..messages.message import is_empty
from ..profile.states import SYSTEM_KINDS
from .change import Change
from .context import RepairContext, StepResult, state_after
from .labelled_text import tool_calls_as_text
from .leading_system import as_user_turns
from .policy import RepairPolicy
from .system_merging import system_runs
from .turn import Turn
from .turn_placer import place_turns


def ensure_valid_ending(turns: list[Turn], context: RepairContext) -> StepResult:
    """Make the last turn one after which the template lets a reply be asked for."""
    policy = context.policy
    if not turns:
        return StepResult(turns, [])
    if context.prefill:
        # The reply's opening is left alone; what stands before it has to be read all the same.
        hidden = policy.hides_system_before_prefill and _leads_with_system(turns)
        return _with_system_as_user(turns, context) if hidden else StepResult(turns, [])
    changes: list[Change] = []
    state = state_after(turns, policy)
    if (
        turns[-1].kind == "call"
        and not policy.may_end(state)
        and not policy.may_follow(state, "user")
    ):
        why = "the template wants a result after each tool call"
        written = tool_calls_as_text(turns[-1], context)
        changes.append(turns[-1].change("tools", why))
        turns, changed = place_turns([*turns[:-1], written], context)
        changes += changed
        state = state_after(turns, policy)
    lacks_user = all(turn.kind != "user" for turn in turns) and _needs_user(turns, state, policy)
    if (lacks_user or not policy.may_end(state)) and policy.may_follow(state, "user"):
        filler, change = context.filler("user", turns[-1])
        turns, state = [*turns, filler], "user"
        changes.append(change)
    if _hides_system(turns, state, policy):
        turns, changed = _with_system_as_user(turns, context)
        changes += changed
    return StepResult(turns, changes)


def _needs_user(turns: Sequence[Turn], state: str, policy: RepairPolicy) -> bool:
    """Return whether the template wants a user turn in a conversation that has none."""
    opening = "assistant"
    if (
        state != "leading_system"
        and _leads_with_system(turns)
        and "led_assistant" in policy.needs_user
    ):
        return True
    if state == "leading_system":
        opening = "leading_system"
        shown = [turn for turn in turns if not turn.ignored_empty]
        if len(shown) > 1 and all(turn.kind == "system" for turn in shown):
            opening = "several_systems" if policy.knows_several_systems else "leading_system"
    return opening in policy.needs_user


def _hides_system(turns: Sequence[Turn], state: str, policy: RepairPolicy) -> bool:
    """Return whether leading system text is not shown where the conversation ends."""
    return (
        state in policy.no_end_with_system and policy.may_end(state) and _leads_with_system(turns)
    )


def _leads_with_system(turns: Sequence[Turn]) -> bool:
    return turns[0].kind in SYSTEM_KINDS and any(
        turn.kind in SYSTEM_KINDS and not is_empty(turn.message) for turn in turns
    )


def _with_system_as_user(turns: Sequence[Turn], context: RepairContext) -> StepResult:
    """Say what the leading system messages say in the first user turn instead."""
    leading, _ = system_runs(turns)
    opening, changes = as_user_turns(leading)
    # Whatever stands behind them stands behind a user turn now.
    rest = [turn._replace(ignored_empty=False) for turn in turns[len(leading) :]]
    placed, changed = place_turns([*opening, *rest], context)
    return StepResult(placed, changes + changed)
