"""The results of a round behind its calls and in their order, where the prompt shows no ids.

A model takes the first result for that of the first call, and any result for that of the calls that
it read last. Of weather(Oslo) and weather(Rome), answered in the other order, it would read that
Oslo has the weather of Rome.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..messages.message import tool_calls
from .change import Change
from .context import RepairContext, StepResult
from .labelled_text import tool_calls_as_text
from .pairing import CallPlace, pair, says_nothing
from .policy import RepairPolicy
from .turn import Turn

Owners = Sequence[CallPlace | None]
"""The call that each turn answers; None for what is no result of a known call."""


def order_results(turns: list[Turn], context: RepairContext) -> StepResult:
    """Put each result behind the message that called for it, in the order of its calls.

    Where no order tells which result is which, the calls are written out: labels do. So it is with
    a call without a result before one that has its result, and with a result that comes after
    other calls once something was said in between.
    """
    owners = pair(turns).owners
    if not any(owners):
        return StepResult(turns, [])
    order = list(_by_calls(turns, owners, sorts=context.policy.takes_calls))
    said = [at for at in order if not says_nothing(turns[at])]
    if said == sorted(said):
        order = list(range(len(turns)))  # an empty message between may stay there
    untold: set[int] = set()
    if context.policy.takes_calls:
        untold = _told_by_no_order(turns, owners, order, context.policy)
    why = "the template shows no ids that tell whose result it is"
    made: list[Turn] = []
    changes: list[Change] = []
    for at, now in enumerate(order):
        turn = turns[now]
        if now in untold or (now != at and turn.kind == "tool"):
            changes.append(turn.change("tools", why))
        made.append(tool_calls_as_text(turn, context) if now in untold else turn)
    return StepResult(made, changes)


def _by_calls(turns: Sequence[Turn], owners: Owners, *, sorts: bool) -> Iterator[int]:
    """Yield the positions of the turns, with results behind the message that called for them.

    That is, where only calls and results stand between the two. A result of no known call keeps its
    place behind the others.

    Args:
        turns: The turns.
        owners: The call that each answers.
        sorts: Whether the results of one message come in the order of its calls.
    """
    behind: dict[int, list[int]] = {}
    first = last = len(turns)  # of the calls that stand together
    for at, turn in enumerate(turns):
        owner = owners[at]
        if turn.kind == "call":
            first, last = min(first, at), at
            behind[at] = []
        elif turn.kind != "tool" and not says_nothing(turn):
            first = last = len(turns)
        elif last < at and turn.kind == "tool":
            behind[owner.turn if owner and owner.turn >= first else last].append(at)
    placed = {at for results in behind.values() for at in results}
    for at in range(len(turns)):
        if at not in placed:
            yield at
            results = behind.get(at, [])
            yield from _in_order(results, owners, at) if sorts else results


def _in_order(results: Sequence[int], owners: Owners, call: int) -> Iterator[int]:
    """Yield the results of one message in the order of its calls; others keep their places."""
    own = {at: owner.call for at in results if (owner := owners[at]) and owner.turn == call}
    remaining = iter(sorted(own, key=own.__getitem__))
    for at in results:
        yield next(remaining) if at in own else at


def _told_by_no_order(
    turns: Sequence[Turn], owners: Owners, order: Sequence[int], policy: RepairPolicy
) -> set[int]:
    """Return the positions of the calls whose results would pass for those of other calls."""
    untold: set[int] = set()
    calls, expected = -1, 0  # what was called last, and the first call there without a result
    is_round = False
    for at in order:
        owner = owners[at]
        if turns[at].kind == "call":
            calls, expected, is_round = at, 0, True
        elif turns[at].kind != "tool":
            is_round = is_round and says_nothing(turns[at])
        elif owner is not None and owner.turn not in untold:
            if policy.single_calls:  # each call comes to stand before its own results
                is_told = is_round or owner.call == len(tool_calls(turns[calls].message)) - 1
            else:
                is_told = expected - 1 <= owner.call <= expected
            if is_told and owner.turn == calls:
                expected = owner.call + 1
            else:
                untold.add(owner.turn)
    return untold
