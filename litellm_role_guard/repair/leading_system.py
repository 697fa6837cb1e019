"""The system and developer messages before the first turn."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from ..messages.message import has_media, is_empty
from ..profile.rules import Rules
from ..profile.states import SYSTEM_KINDS, Kind
from .context import RepairContext, is_not_read
from .turn import Turn, as_role, join


def mirror_system_hoisting(turns: list[Turn], draft: RepairContext) -> list[Turn]:
    """Do what the template itself does with system text that it moves to the front.

    What only empty messages stand before goes there, and what is empty may stay away. The same is
    rendered, so that it is no change.
    """
    if any(turn.kind in SYSTEM_KINDS for turn in turns):
        turns = _passed_over(_lifted(_uncovered(turns, draft), draft), draft)
    return turns


def _uncovered(turns: list[Turn], draft: RepairContext) -> list[Turn]:
    """Leave out empty results that stand before a system message at the front."""
    rules = draft.rules
    opening = list(itertools.takewhile(_is_front_or_empty_result, turns))
    while opening and opening[-1].kind not in SYSTEM_KINDS:
        opening.pop()
    front = [turn for turn in opening if turn.kind in SYSTEM_KINDS]
    covers = [turn for turn in opening if turn.kind not in SYSTEM_KINDS]
    if not covers:
        return turns
    state = "leading_system" if opening[0] is front[0] else "start"
    everywhere = [turn for turn in turns if turn.kind in SYSTEM_KINDS]
    folds = _merges_on_server(turns, rules)
    ignored_empty = [
        turn for turn in covers if rules.ignored_empty.get(state, {}).get(turn.kind) == state
    ]
    if any(rules.may_follow(state, turn.kind) for turn in covers) or (
        len(ignored_empty) == len(covers) and not folds
    ):
        return turns
    idle = folds or all(is_empty(turn.message) for turn in everywhere)
    for turn in covers:
        taken = idle and rules.follows.get(state, {}).get(turn.kind) == "not_read"
        if not taken and turn not in ignored_empty:
            draft.note("content", turn, "an empty message that the template does not take")
    if state == "start" and rules.developer_before_last == "accepted":
        # Not at the front by the client's will, it must not be shown in the last user turn.
        front = [system_as_user(turn, draft) for turn in front]
    return [*front, *turns[len(opening) :]]


def _is_front_or_empty_result(turn: Turn) -> bool:
    return turn.kind in SYSTEM_KINDS or (
        turn.kind in ("tool", "function") and is_empty(turn.message)
    )


def _lifted(turns: list[Turn], draft: RepairContext) -> list[Turn]:
    has_developer = any(turn.kind == "developer" for turn in turns)
    if ("developer" if has_developer else "system") not in draft.rules.hoisted_kinds:
        return turns
    opening = list(
        itertools.takewhile(lambda turn: turn.kind in SYSTEM_KINDS or is_empty(turn.message), turns)
    )
    front = [turn for turn in opening if turn.kind in SYSTEM_KINDS]
    if front == opening[: len(front)]:
        return turns
    if has_developer:
        if any(t.kind in SYSTEM_KINDS and not is_empty(t.message) for t in turns[len(opening) :]):
            return turns  # which the developer message takes along, past what was said
        front = [turn for turn in front if not is_empty(turn.message)]  # joined to the others
    elif draft.rules.follows_with_system:
        # Of several, the template moves the first one only.
        at = opening.index(front[0])
        return [front[0], *turns[:at], *turns[at + 1 :]] if at > 0 else turns
    empty = [turn for turn in opening if turn.kind not in SYSTEM_KINDS]
    return [*front, *empty, *turns[len(opening) :]]


def _passed_over(turns: list[Turn], draft: RepairContext) -> list[Turn]:
    """Leave the empty messages alone that the template moves to the front, to say nothing there."""
    rules = draft.rules
    leading, later = _system_runs(turns)
    idle = all(is_empty(turn.message) for turn in later)
    if not later or not idle:
        return turns
    if _merges_on_server(turns, rules):
        # They all go there together with the developer message, so that none can stay by itself.
        if rules.empty_developer != "accepted":
            return turns
        return [*leading, *(turn for turn in turns if turn.kind not in SYSTEM_KINDS)]
    has_text = any(not is_empty(turn.message) for turn in leading)
    takes_place = has_text and is_not_read(rules.leading_system, "system empty")
    ignored_empty: list[Kind] = []
    if rules.empty_developer == "accepted":
        ignored_empty.append("developer")
    if "system" in rules.hoisted_kinds and not takes_place:
        ignored_empty.append("system")
    return [
        turn._replace(ignored_empty=True)
        if at >= len(leading) and turn.kind in ignored_empty
        else turn
        for at, turn in enumerate(turns)
    ]


def _system_runs(turns: Sequence[Turn]) -> tuple[list[Turn], list[Turn]]:
    """Give the system and developer messages before the first turn, and those after it."""
    leading = list(itertools.takewhile(lambda turn: turn.kind in SYSTEM_KINDS, turns))
    return leading, [turn for turn in turns[len(leading) :] if turn.kind in SYSTEM_KINDS]


def _merges_on_server(turns: Sequence[Turn], rules: Rules) -> bool:
    """Tell whether the server joins all system text of this conversation at the front."""
    return merges_developer(rules) and any(turn.kind == "developer" for turn in turns)


def merges_developer(rules: Rules) -> bool:
    """Tell whether a developer message has the server join all system text at the front."""
    # It does where the template knows no such role.
    return "developer" in rules.hoisted_kinds or rules.developer_before_last == "accepted"


def as_merged_by_server(turns: list[Turn], rules: Rules) -> list[Turn] | None:
    """Give what the template sees where that holds all that was said, in order; None elsewhere."""
    leading, later = _system_runs(turns)
    if not _merges_on_server(turns, rules):
        return None
    idle = later and leading and all(is_empty(turn.message) for turn in later)
    if not (idle and rules.empty_developer == "accepted") and not _is_said_last(turns, rules):
        return None
    said = [
        turn._replace(merged_by_server=True)
        for turn in (*leading, *later)
        if not is_empty(turn.message)
    ]
    return [*said, *(turn for turn in turns if turn.kind not in SYSTEM_KINDS)]


def _is_said_last(turns: Sequence[Turn], rules: Rules) -> bool:
    """Tell whether all system text has its place before the last user turn, and is shown there."""
    if rules.developer_before_last != "accepted":
        return False
    last = max((at for at, turn in enumerate(turns) if turn.kind == "user"), default=-1)
    said = [at for at, turn in enumerate(turns) if not is_empty(turn.message)]
    leading = len(_system_runs(turns)[0])
    late = [at for at in said if at >= leading and turns[at].kind in SYSTEM_KINDS]
    others = (at for at in said if turns[at].kind not in SYSTEM_KINDS)
    if last < 0 or not late:
        return last >= 0
    # What anyone else said between system text and that turn would come to stand before it.
    return not any(late[0] < at < last or last <= at < late[-1] for at in others)


def merge_leading_system(turns: list[Turn], draft: RepairContext) -> list[Turn]:
    """Bring the system and developer messages before the first turn into a form that is read."""
    end = 0
    while end < len(turns) and turns[end].kind in SYSTEM_KINDS:
        end += 1
    if end == 0 or turns[0].merged_by_server:
        return turns
    run, rest = turns[:end], turns[end:]
    answers = draft.rules.leading_system
    # A backend that folds developer messages into the system message moves every later system
    # message to the front along with them.
    moves_later = draft.rules.developer_then_system != "accepted" and any(
        turn.kind in SYSTEM_KINDS and not turn.ignored_empty for turn in rest
    )
    native = []
    for turn in run:
        if turn.kind == "developer" and (moves_later or is_not_read(answers, "developer")):
            draft.note("developer", turn, "the template reads no developer message there")
            turn = as_role(turn, "system")
        native.append(turn)
    if is_not_read(answers, "system") and any(turn.kind == "system" for turn in native):
        return [*(system_as_user(turn, draft) for turn in native), *rest]
    texts = list(native)
    folds = "developer" in draft.rules.hoisted_kinds and any(
        turn.kind == "developer" for turn in run
    )
    alike = all(turn.kind == "system" for turn in native)
    if (alike or draft.rules.empty_developer == "accepted") and not is_not_read(
        answers, "system empty"
    ):
        while len(texts) > 1 and is_empty(texts[-1].message):
            texts.pop()
    if answers.get("system empty") == "not_read":  # the last one counts
        texts = list(itertools.dropwhile(lambda turn: is_empty(turn.message), texts))
    pairs = {" ".join(pair) for pair in itertools.pairwise(turn.kind for turn in texts)}
    if any("developer" in pair for pair in pairs):
        pairs.discard("system system")  # one developer message decides how all are taken
    merged_by_server = moves_later and any(turn.kind == "developer" for turn in run)
    if merged_by_server or any(is_not_read(answers, pair) for pair in pairs):
        native = [join(native, draft.separator)]
    elif folds and len(native) > 1:
        native = [turn._replace(merged_by_server=True) for turn in native]
    return [*_media_as_user(native, draft), *rest]


def _media_as_user(front: Sequence[Turn], draft: RepairContext) -> Iterator[Turn]:
    """Let the user say what holds an image where the template reads one text only."""
    moved = False
    for turn in front:
        lost = is_not_read(draft.rules.parts, turn.kind) and has_media(turn.message)
        moved = moved or lost  # and all that comes after it, to keep the order
        yield system_as_user(turn, draft) if moved else turn


def system_as_user(turn: Turn, draft: RepairContext) -> Turn:
    """Let the user say what a system or developer message at the front says."""
    # Unlabelled, as the templates that do take a system message for such models write it.
    if turn.kind != "user":
        draft.note(turn.kind, turn, f"the template reads no {turn.kind} message")
    return as_role(turn, "user")
