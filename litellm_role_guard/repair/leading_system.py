"""The system and developer messages before the first turn."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from ..messages.message import has_media, is_empty
from ..profile.states import SYSTEM_KINDS, Kind
from .billing_line import without_billing_line
from .change import Change
from .context import RepairContext, StepResult
from .policy import RepairPolicy, is_rejected
from .system_merging import merges_on_server, system_runs
from .turn import Turn, as_role, join


def merge_leading_system(turns: list[Turn], context: RepairContext) -> StepResult:
    """Bring the system and developer messages before the first turn into a form that is read."""
    policy = context.policy
    run, rest = _split(turns)
    if policy.rejects_system_with_media and _stand_beside_media(run, turns):
        moved, changes = as_user_turns(run)
        return StepResult([*moved, *rest], changes)
    if not run or turns[0].merged_by_server:
        return StepResult(turns, [])
    has_developer = any(turn.kind == "developer" for turn in run)
    # A backend that merges developer messages into the system message moves every later system
    # message to the front along with them.
    moves_later = policy.developer_takes_system and any(
        turn.kind in SYSTEM_KINDS
        and not turn.ignored_empty
        and (policy.developer_takes_empty or not is_empty(turn.message))
        for turn in rest
    )
    native, changes = _without_unread_developer(run, policy, moves_later=moves_later)
    if "system" in policy.unread_leading and any(turn.kind == "system" for turn in native):
        moved, changed = as_user_turns(native)
        return StepResult([*moved, *rest], [*changes, *changed])
    if (moves_later and has_developer) or _has_unread_run(native, policy):
        # The server itself strips the line that opens the message, and no later one.
        rest_of_run = [without_billing_line(turn) for turn in native[1:]]
        native = [join([native[0], *rest_of_run], context.separator)]
    elif policy.hoists_developer and has_developer and len(native) > 1 and _say_anything(native):
        native = [turn._replace(merged_by_server=True) for turn in native]
    shown, changed = _media_as_user(native, policy)
    return StepResult([*shown, *rest], [*changes, *changed])


def _split(turns: list[Turn]) -> tuple[list[Turn], list[Turn]]:
    leading, _ = system_runs(turns)
    return leading, turns[len(leading) :]


def _stand_beside_media(run: Sequence[Turn], turns: Sequence[Turn]) -> bool:
    """Return whether leading messages say something in a conversation with an image."""
    return _say_anything(run) and any(has_media(turn.message) for turn in turns)


def _say_anything(turns: Sequence[Turn]) -> bool:
    return any(not is_empty(turn.message) for turn in turns)


def _without_unread_developer(
    run: Sequence[Turn], policy: RepairPolicy, *, moves_later: bool
) -> StepResult:
    """Make system messages of the developer messages that the template does not read there."""
    made: list[Turn] = []
    changes: list[Change] = []
    for turn in run:
        if turn.kind == "developer" and (moves_later or "developer" in policy.unread_leading):
            why = "the template reads no developer message there"
            changes.append(turn.change("developer", why))
            turn = as_role(turn, "system")
        made.append(turn)
    return StepResult(made, changes)


def _has_unread_run(native: Sequence[Turn], policy: RepairPolicy) -> bool:
    """Return whether of two messages in a row, or of three, not all are read."""
    texts = list(native)
    alike = all(turn.kind == "system" for turn in native)
    if (alike or policy.ignores_empty_developer) and "system empty" not in policy.unread_leading:
        while len(texts) > 1 and is_empty(texts[-1].message):
            texts.pop()
    if policy.last_system_counts:
        texts = list(itertools.dropwhile(lambda turn: is_empty(turn.message), texts))
    pairs = {" ".join(pair) for pair in itertools.pairwise(turn.kind for turn in texts)}
    if any("developer" in pair for pair in pairs):
        pairs.discard("system system")  # one developer message decides how all are taken
    runs = [*pairs]
    if len(texts) > 2 and not merges_on_server(texts, policy):
        runs.append("system system system")
    return any(run in policy.unread_leading for run in runs)


def _media_as_user(leading: Sequence[Turn], policy: RepairPolicy) -> StepResult:
    """Let the user say what holds an image where the template reads one text only."""
    for at, turn in enumerate(leading):
        if turn.kind in policy.rejects_leading_media and has_media(turn.message):
            moved, changes = as_user_turns(leading[at:])  # and all behind it, to keep the order
            return StepResult([*leading[:at], *moved], changes)
    return StepResult(list(leading), [])


def as_user_turns(turns: Sequence[Turn]) -> StepResult:
    """Let the user say what leading system and developer messages say.

    Unlabelled, as the templates that do take a system message for such models write it.
    """
    changes = [
        turn.change(turn.kind, f"the template reads no {turn.kind} message")
        for turn in turns
        if turn.kind != "user"
    ]
    moved = [as_role(without_billing_line(turn), "user") for turn in turns]
    return StepResult(moved, changes)


def mirror_system_hoisting(turns: list[Turn], context: RepairContext) -> StepResult:
    """Do what the template itself does with system text that it moves to the front.

    What only empty messages stand before goes there, and what is empty may stay away. The same is
    rendered, so that it is no change.
    """
    if not any(turn.kind in SYSTEM_KINDS for turn in turns):
        return StepResult(turns, [])
    turns, changes = _uncover(turns, context.policy)
    return StepResult(_mark_ignored(_hoist(turns, context.policy), context.policy), changes)


def _uncover(turns: list[Turn], policy: RepairPolicy) -> StepResult:
    """Leave out empty results that stand before a leading system message."""
    opening = list(itertools.takewhile(_is_system_or_empty_result, turns))
    while opening and opening[-1].kind not in SYSTEM_KINDS:
        opening.pop()
    leading = [turn for turn in opening if turn.kind in SYSTEM_KINDS]
    covers = [turn for turn in opening if turn.kind not in SYSTEM_KINDS]
    if not covers:
        return StepResult(turns, [])
    state = "leading_system" if opening[0] is leading[0] else "start"
    merges = merges_on_server(turns, policy)
    # A developer message that the template knows at the front alone has to stand there.
    must_lead = (
        state == "start"
        and leading[0].kind == "developer"
        and not policy.may_follow("user", "developer")
    )
    harmful = [
        turn
        for turn in covers
        if must_lead or policy.after_empty.get(state, {}).get(turn.kind) != state
    ]
    if any(policy.may_follow(state, turn.kind) for turn in covers) or not (harmful or merges):
        return StepResult(turns, [])
    idle = merges or all(is_empty(turn.message) for turn in leading)
    # Others would be left out later on, where nobody looks at what stands at the front then.
    passed = policy.after_empty.get(state, {})
    unread = [kind for kind in policy.taken_unread.get(state, ()) if kind in passed and idle]
    if idle and not merges and all(turn.kind in unread for turn in covers):
        return StepResult(turns, [])  # an empty message at the front may itself say something
    changes = [
        turn.change("content", "an empty message that the template does not take")
        for turn in harmful
        if turn.kind not in unread
    ]
    if state == "start" and policy.shows_system_last:
        # Not at the front by the client's will, it must not be shown in the last user turn.
        leading, changed = as_user_turns(leading)
        changes += changed
    return StepResult([*leading, *turns[len(opening) :]], changes)


def _is_system_or_empty_result(turn: Turn) -> bool:
    return turn.kind in SYSTEM_KINDS or (
        turn.kind in ("tool", "function") and is_empty(turn.message)
    )


def _hoist(turns: list[Turn], policy: RepairPolicy) -> list[Turn]:
    """Move system text in front of the empty messages that alone stand before it."""
    has_developer = any(turn.kind == "developer" for turn in turns)
    if not (policy.hoists_developer if has_developer else policy.hoists_system):
        return turns
    opening = list(
        itertools.takewhile(lambda turn: turn.kind in SYSTEM_KINDS or is_empty(turn.message), turns)
    )
    leading = [turn for turn in opening if turn.kind in SYSTEM_KINDS]
    if leading == opening[: len(leading)]:
        return turns
    rest = turns[len(opening) :]
    if has_developer:
        if any(turn.kind in SYSTEM_KINDS and not is_empty(turn.message) for turn in rest):
            return turns  # which the developer message takes along, past what was said
        leading = [turn for turn in leading if not is_empty(turn.message)]
    elif policy.hoists_first_only:
        at = opening.index(leading[0])
        return [leading[0], *turns[:at], *turns[at + 1 :]] if at > 0 else turns
    return [*leading, *(turn for turn in opening if turn.kind not in SYSTEM_KINDS), *rest]


def _mark_ignored(turns: list[Turn], policy: RepairPolicy) -> list[Turn]:
    """Mark the late empty messages that the template moves to the front, to say nothing there."""
    leading, later = system_runs(turns)
    if not later or not all(is_empty(turn.message) for turn in later):
        return turns
    has_text = _say_anything(leading)
    moves = "system" in policy.unread_leading and any(turn.kind == "system" for turn in leading)
    # Without a text that stays beside it, the server makes an empty system message of it.
    ignores_developer = policy.ignores_empty_developer and (
        (has_text and not moves) or not is_rejected(policy.rejects_blank, "system")
    )
    if merges_on_server(turns, policy):
        # They all go there together with the developer message, so that none can stay by itself.
        if not ignores_developer:
            return turns
        return [*leading, *(turn for turn in turns if turn.kind not in SYSTEM_KINDS)]
    takes_place = has_text and "system empty" in policy.unread_leading
    ignored: list[Kind] = []
    if ignores_developer:
        ignored.append("developer")
    takes_blank = not is_rejected(policy.rejects_blank, "late system")
    if policy.hoists_system and not takes_place and takes_blank:
        ignored.append("system")
    return [
        turn._replace(ignored_empty=True) if at >= len(leading) and turn.kind in ignored else turn
        for at, turn in enumerate(turns)
    ]
