"""A conversation's end, after which a reply may be asked for."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from ..messages.message import is_empty
from ..profile.states import SYSTEM_KINDS
from .context import RepairContext, is_not_read, state_after
from .labelled_text import tool_calls_as_text
from .leading_system import system_as_user
from .turn import Turn
from .turn_placer import place_turns


def ensure_valid_ending(turns: list[Turn], draft: RepairContext) -> list[Turn]:
    """See to it that a reply may be asked for after what stands last."""
    if draft.prefill or not turns:
        return turns
    rules = draft.rules
    state = state_after(turns, rules)
    if (
        turns[-1].kind == "call"
        and not rules.may_end(state)
        and not rules.may_follow(state, "user")
    ):
        draft.note("tools", turns[-1], "the template wants a result after each tool call")
        turns = place_turns([*turns[:-1], tool_calls_as_text(turns[-1], draft)], draft)
        state = state_after(turns, rules)
    opening = "assistant"
    if state == "leading_system":
        fronts = [turn for turn in turns if not turn.ignored_empty]
        several = len(fronts) > 1 and all(turn.kind == "system" for turn in fronts)
        opening = (
            "several_systems"
            if several and "several_systems" in rules.without_user
            else "leading_system"
        )
    lacks_user = all(turn.kind != "user" for turn in turns) and is_not_read(
        rules.without_user, opening
    )
    if (lacks_user or not rules.may_end(state)) and rules.may_follow(state, "user"):
        turns = [*turns, draft.filler("user", turns[-1])]
        state = "user"
    has_front = turns[0].kind in SYSTEM_KINDS and any(
        turn.kind in SYSTEM_KINDS and not is_empty(turn.message) for turn in turns
    )
    if has_front and is_not_read(rules.ends_with_system, state) and rules.may_end(state):
        return _without_front(turns, draft)
    return turns


def _without_front(turns: Sequence[Turn], draft: RepairContext) -> list[Turn]:
    """Say what the system messages at the front say in the first user turn instead."""
    end = sum(1 for _ in itertools.takewhile(lambda turn: turn.kind in SYSTEM_KINDS, turns))
    opening = [system_as_user(turn, draft) for turn in turns[:end]]
    # Whatever stands behind it stands behind a user turn now.
    rest = [turn._replace(ignored_empty=False) for turn in turns[end:]]
    return place_turns([*opening, *rest], draft)
