"""The results of a round in the order of its calls, where the prompt shows no ids.

A model takes the first result for that of the first call. Of weather(Oslo) and weather(Rome),
answered in the other order, it would read that Oslo has the weather of Rome.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..messages.message import tool_calls
from .change import Change
from .context import RepairContext, StepResult
from .labelled_text import tool_calls_as_text
from .turn import Turn


def order_results(turns: list[Turn], context: RepairContext) -> StepResult:
    """Put the results right behind several calls in the order of these calls.

    Where a call without a result stands before one that has its result, no order tells which is
    which. Then the round is written out: labels do.
    """
    made: list[Turn] = []
    changes: list[Change] = []
    at = 0
    while at < len(turns):
        call = turns[at]
        made.append(call)
        at += 1
        if call.kind != "call" or len(tool_calls(call.message)) < 2:
            continue
        end = at
        while end < len(turns) and turns[end].kind == "tool":
            end += 1
        results = turns[at:end]
        why = "the template shows no ids that tell whose result it is"
        if not context.policy.single_calls and _skips_a_call(call, results):
            changes.append(call.change("tools", why))
            made[-1:] = [tool_calls_as_text(call, context.separator), *results]
            at = end
            continue
        ordered = list(_in_order(call, results))
        changes += [
            now.change("tools", why)
            for before, now in zip(results, ordered, strict=True)
            if now is not before
        ]
        made += ordered
        at = end
    return StepResult(made, changes)


def _skips_a_call(call: Turn, results: Sequence[Turn]) -> bool:
    """Return whether a call has no result, and a later one of the same message has."""
    answered = {turn.message.get("tool_call_id") for turn in results}
    are_answered = [each.get("id") in answered for each in tool_calls(call.message)]
    return are_answered != sorted(are_answered, reverse=True)


def _in_order(call: Turn, results: Sequence[Turn]) -> Iterator[Turn]:
    """Yield the results, those of the calls in their order; others keep their places."""
    places: dict[object, int] = {}
    for each in tool_calls(call.message):
        places.setdefault(each.get("id"), len(places))
    own = [turn for turn in results if turn.message.get("tool_call_id") in places]
    own.sort(key=lambda turn: places[turn.message.get("tool_call_id")])
    remaining = iter(own)
    for turn in results:
        known = turn.message.get("tool_call_id") in places
        yield next(remaining) if known else turn
