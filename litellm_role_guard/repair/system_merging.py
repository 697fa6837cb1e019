"""What a server makes of system text once a developer message is among it.

Source: vLLM `renderers/hf.py`, `_convert_developer_to_system` and `_consolidate_system_messages`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from ..messages.message import is_empty
from ..profile.states import SYSTEM_KINDS
from .policy import RepairPolicy, is_rejected
from .turn import Turn


def system_runs(turns: Sequence[Turn]) -> tuple[list[Turn], list[Turn]]:
    """Return the system and developer messages before the first turn, and those after it."""
    leading = list(itertools.takewhile(lambda turn: turn.kind in SYSTEM_KINDS, turns))
    return leading, [turn for turn in turns[len(leading) :] if turn.kind in SYSTEM_KINDS]


def merges_on_server(turns: Sequence[Turn], policy: RepairPolicy) -> bool:
    """Return whether the server joins all system text of this conversation in one place."""
    return policy.merges_developer and any(turn.kind == "developer" for turn in turns)


def as_merged_by_server(turns: list[Turn], policy: RepairPolicy) -> list[Turn] | None:
    """Return what the template sees where that holds all texts in order; None elsewhere."""
    if not merges_on_server(turns, policy):
        return None
    leading, later = system_runs(turns)
    idle = bool(later and leading) and all(is_empty(turn.message) for turn in later)
    if not (idle and policy.ignores_empty_developer) and not _is_said_last(turns, policy):
        return None
    system = [
        turn._replace(merged_by_server=True)
        for turn in (*leading, *later)
        if not is_empty(turn.message)
    ]
    if not system and is_rejected(policy.rejects_blank, "system"):
        return None  # the empty message that the server makes of them is not taken
    return [*system, *(turn for turn in turns if turn.kind not in SYSTEM_KINDS)]


def _is_said_last(turns: Sequence[Turn], policy: RepairPolicy) -> bool:
    """Return whether all system text belongs before the last user turn, and is shown there."""
    if not policy.shows_system_last:
        return False
    last = max((at for at, turn in enumerate(turns) if turn.kind == "user"), default=-1)
    with_text = [at for at, turn in enumerate(turns) if not is_empty(turn.message)]
    leading = len(system_runs(turns)[0])
    late = [at for at in with_text if at >= leading and turns[at].kind in SYSTEM_KINDS]
    others = (at for at in with_text if turns[at].kind not in SYSTEM_KINDS)
    if last < 0 or not late:
        return last >= 0
    # What anyone else said between system text and that turn would come to stand before it.
    return not any(late[0] < at < last or last <= at < late[-1] for at in others)
