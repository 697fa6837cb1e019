"""The system and developer messages before the first turn."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from .conversation import has_media, is_empty
from .profile import FRONT_KINDS
from .turns import Draft, Turn, as_role, join, unread


def gather_front(turns: list[Turn], draft: Draft) -> list[Turn]:
    """Bring the system and developer messages before the first turn into a form that is read."""
    end = 0
    while end < len(turns) and turns[end].kind in FRONT_KINDS:
        end += 1
    if end == 0 or turns[0].afloat:
        return turns
    run, rest = turns[:end], turns[end:]
    answers = draft.rules.front
    # A backend that folds developer messages into the system message moves every later system
    # message to the front along with them.
    moves_later = draft.rules.developer_then_system != "accepted" and any(
        turn.kind in FRONT_KINDS for turn in rest
    )
    native = []
    for turn in run:
        if turn.kind == "developer" and (moves_later or unread(answers, "developer")):
            draft.note("developer", turn, "the template reads no developer message there")
            turn = as_role(turn, "system")
        native.append(turn)
    if unread(answers, "system") and any(turn.kind == "system" for turn in native):
        return [*(front_as_user(turn, draft) for turn in native), *rest]
    texts = list(native)
    if all(turn.kind == "system" for turn in native) and not unread(answers, "system empty"):
        while len(texts) > 1 and is_empty(texts[-1].message):
            texts.pop()
    pairs = {" ".join(pair) for pair in itertools.pairwise(turn.kind for turn in texts)}
    if any("developer" in pair for pair in pairs):
        pairs.discard("system system")  # one developer message decides how all are taken
    folded = moves_later and any(turn.kind == "developer" for turn in run)
    if folded or any(unread(answers, pair) for pair in pairs):
        native = [join(native, draft.separator)]
    return [*_media_as_user(native, draft), *rest]


def _media_as_user(front: Sequence[Turn], draft: Draft) -> Iterator[Turn]:
    """Let the user say what holds an image where the template reads one text only."""
    moved = False
    for turn in front:
        lost = unread(draft.rules.parts, turn.kind) and has_media(turn.message)
        moved = moved or lost  # and all that comes after it, to keep the order
        yield front_as_user(turn, draft) if moved else turn


def front_as_user(turn: Turn, draft: Draft) -> Turn:
    """Let the user say what a system or developer message at the front says."""
    # Unlabelled, as the templates that do take a system message for such models write it.
    if turn.kind != "user":
        draft.note(turn.kind, turn, f"the template reads no {turn.kind} message")
    return as_role(turn, "user")
