"""A conversation's end, after which a reply may be asked for."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from ..messages.message import is_empty
from ..profile.states import FRONT_KINDS
from .context import Draft, state_after, unread
from .labelled_text import written_out
from .leading_system import front_as_user
from .turn import Turn
from .turn_placer import arrange_turns


def close(turns: list[Turn], draft: Draft) -> list[Turn]:
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
        turns = arrange_turns([*turns[:-1], written_out(turns[-1], draft)], draft)
        state = state_after(turns, rules)
    opening = "assistant"
    if state == "front":
        fronts = [turn for turn in turns if not turn.passed]
        several = len(fronts) > 1 and all(turn.kind == "system" for turn in fronts)
        opening = "fronts" if several and "fronts" in rules.without_user else "front"
    lacks_user = all(turn.kind != "user" for turn in turns) and unread(rules.without_user, opening)
    if (lacks_user or not rules.may_end(state)) and rules.may_follow(state, "user"):
        turns = [*turns, draft.filler("user", turns[-1])]
        state = "user"
    has_front = turns[0].kind in FRONT_KINDS and any(
        turn.kind in FRONT_KINDS and not is_empty(turn.message) for turn in turns
    )
    if has_front and unread(rules.front_ends, state) and rules.may_end(state):
        return _without_front(turns, draft)
    return turns


def _without_front(turns: Sequence[Turn], draft: Draft) -> list[Turn]:
    """Say what the system messages at the front say in the first user turn instead."""
    end = sum(1 for _ in itertools.takewhile(lambda turn: turn.kind in FRONT_KINDS, turns))
    opening = [front_as_user(turn, draft) for turn in turns[:end]]
    # Whatever stands behind it stands behind a user turn now.
    rest = [turn._replace(passed=False) for turn in turns[end:]]
    return arrange_turns([*opening, *rest], draft)
