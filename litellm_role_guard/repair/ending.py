"""A conversation's end, after which a reply may be asked for."""

from __future__ import annotations

from collections.abc import Sequence

from ..messages.message import is_empty
from ..profile.states import SYSTEM_KINDS
from .billing_line import without_billing_line
from .change import Change
from .context import RepairContext, StepResult, state_after
from .labelled_text import labelled_user, message_words, tool_calls_as_text
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
    if _wants_user(turns, state, policy) and not policy.may_follow(state, "user"):
        said, changes = _end_in_words(turns, context)
        if changes:
            turns, changed = place_turns(said, context)
            changes += changed
            state = state_after(turns, policy)
    if _wants_user(turns, state, policy) and policy.may_follow(state, "user"):
        filler, change = context.filler("user", turns[-1])
        turns, state = [*turns, filler], "user"
        changes.append(change)
    if _hides_system(turns, state, policy):
        turns, changed = _with_system_as_user(turns, context)
        changes += changed
    return StepResult(turns, changes)


def make_room_for_prefill(turns: list[Turn], context: RepairContext) -> StepResult:
    """Put a user turn at the end where the opening of the reply may not follow without one.

    Joined to what the assistant has said before, it would be no opening of a reply any more.
    """
    policy, state = context.policy, state_after(turns, context.policy)
    leads = bool(turns) and turns[0].kind in SYSTEM_KINDS
    fits = policy.may_follow(state, "assistant", has_leading_system=leads) or (
        state == "leading_system" and "assistant" in policy.taken_after_systems
    )
    bridges = policy.may_follow(state, "user") and policy.may_follow("user", "assistant")
    if not turns or not bridges or (fits and not _lacks_user(turns, "assistant", policy)):
        return StepResult(turns, [])
    filler, change = context.filler("user", turns[-1])
    return StepResult([*turns, filler], [change])


def _wants_user(turns: Sequence[Turn], state: str, policy: RepairPolicy) -> bool:
    """Return whether the conversation may not end here, or only once the user has spoken."""
    return _lacks_user(turns, state, policy) or not policy.may_end(state)


def _lacks_user(turns: Sequence[Turn], state: str, policy: RepairPolicy) -> bool:
    return all(turn.kind != "user" for turn in turns) and _needs_user(turns, state, policy)


def _end_in_words(turns: Sequence[Turn], context: RepairContext) -> StepResult:
    """Say in words what is at the end, where no user turn may follow it: a round or system text."""
    last = turns[-1]
    if last.kind in SYSTEM_KINDS and is_empty(last.message) and len(turns) > 1:
        why = "an empty message that the template does not take"
        return StepResult([*turns[:-1]], [last.change("content", why)])
    if last.kind in SYSTEM_KINDS:
        label = context.label_form.label(message_words(last))
        change = last.change(last.kind, f"the template takes no {last.kind} message at the end")
        return StepResult([*turns[:-1], labelled_user(without_billing_line(last), label)], [change])
    calls = [at for at, turn in enumerate(turns) if turn.kind == "call"]
    if last.kind not in ("call", "tool") or not calls:
        return StepResult(list(turns), [])
    at = calls[-1]
    change = turns[at].change("tools", "the template takes no tool round at the end")
    written = tool_calls_as_text(turns[at], context)
    return StepResult([*turns[:at], written, *turns[at + 1 :]], [change])


def _needs_user(turns: Sequence[Turn], state: str, policy: RepairPolicy) -> bool:
    """Return whether the template wants a user turn in a conversation that has none."""
    shown = [turn for turn in turns if not turn.ignored_empty]
    kinds = [turn.kind for turn in shown if turn.kind not in SYSTEM_KINDS]
    opening: str = kinds[0] if kinds[:1] in (["call"], ["tool"]) else "assistant"
    if (
        state != "leading_system"
        and _leads_with_system(turns)
        and "led_assistant" in policy.needs_user
    ):
        return True
    if state == "leading_system":
        opening = "leading_system"
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
