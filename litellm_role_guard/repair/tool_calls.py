"""Tool calls that cannot be shown as they are."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import from_json

from ..messages.message import Message, is_empty, is_object, plain_text, tool_calls
from .call_ids import with_names_in_ids, with_own_ids, with_short_ids, with_unrepeated_ids
from .change import Change
from .context import RepairContext, Step, StepResult, run_steps
from .labelled_text import tool_calls_as_text
from .pairing import CallPlace, pair
from .policy import RepairPolicy
from .result_order import order_results
from .turn import Turn


def normalize_tool_calls(turns: list[Turn], context: RepairContext) -> StepResult:
    """Bring tool calls into a form that is read, or write them out as text."""
    if not any(map(_is_of_a_round, turns)):
        return StepResult(turns, [])  # as of most that need a repair
    return run_steps(_steps(context.policy), turns, context)


def _is_of_a_round(turn: Turn) -> bool:
    return turn.kind in ("call", "tool") or "function_call" in turn.message


def _steps(policy: RepairPolicy) -> list[Step]:
    steps: list[tuple[bool, Step]] = [
        (policy.short_ids, with_short_ids),
        (policy.new_ids, with_unrepeated_ids),
        (policy.single_calls, _one_call_each),
        (True, _write_torn_rounds),
        (policy.text_apart, _put_text_apart),
        (policy.blank_call_content, _with_blank_content),
    ]
    if not policy.takes_calls:
        ids: list[Step] = [with_short_ids] if policy.short_result_ids else []
        return [with_own_ids, order_results, _write_unshown_calls, *ids]
    needed = [step for is_needed, step in steps if is_needed]
    needs_own_ids = policy.single_calls or policy.new_ids or policy.unique_ids
    # Where no ids are shown, the order of the results has to tell.
    shows_ids = not policy.orders_results
    own_ids: list[Step] = [with_own_ids] if needs_own_ids or shows_ids else []
    own_ids += [with_names_in_ids] if policy.names_in_ids else []
    ordering: list[Step] = [order_results] if policy.orders_results else []
    return [*own_ids, _write_late_rounds, *ordering, _write_unshown_calls, *needed]


def _write_late_rounds(turns: list[Turn], context: RepairContext) -> StepResult:
    """Write out the calls of which a result comes where the template takes none: a round is one
    thing, and the result will be words."""
    policy = context.policy
    late: set[int] = set()
    said, takes_results = -1, True
    for at, (turn, owner) in enumerate(zip(turns, pair(turns).owners, strict=True)):
        if owner is not None and owner.turn < said and not takes_results:
            late.add(owner.turn)
        elif turn.kind not in ("call", "tool") and not is_empty(turn.message):
            state = turn.kind if turn.kind in ("user", "assistant") else "user+system"
            said, takes_results = at, policy.late_results or policy.may_follow(state, "tool")
    why = "the template takes no result that comes so late"
    return StepResult(
        [
            tool_calls_as_text(turn, context) if at in late else turn
            for at, turn in enumerate(turns)
        ],
        [turns[at].change("tools", why) for at in sorted(late)],
    )


def _write_unshown_calls(turns: list[Turn], context: RepairContext) -> StepResult:
    """Write out the calls that no template is shown: vLLM drops malformed arguments."""
    made: list[Turn] = []
    changes: list[Change] = []
    for turn in turns:
        why = _why_unshown(turn.message)
        if why is not None:
            changes.append(turn.change("tools", why))
            turn = tool_calls_as_text(turn, context)
        made.append(turn)
    return StepResult(made, changes)


def _why_unshown(message: Message) -> str | None:
    if message.get("function_call") and message["role"] == "assistant":
        return "vLLM does not show `function_call` to the template"
    if not all(is_well_formed(call) for call in tool_calls(message)):
        return "vLLM drops tool arguments that are no JSON object"
    return None


def is_well_formed(call: Mapping[str, Any]) -> bool:
    """Return whether vLLM shows a call whole: a function whose arguments are an object.

    vLLM reads `null` and `[]` as `{}`, and nothing is lost with them.
    """
    function = call.get("function")
    if call.get("type", "function") != "function" or not is_object(function):
        return False
    arguments = function.get("arguments")
    if not arguments or (not isinstance(arguments, str) and is_object(arguments)):
        return isinstance(function.get("name"), str)
    try:
        return _is_shown_whole(from_json(arguments))
    except (TypeError, ValueError):  # stricter than vLLM's own parser, and several times as fast
        pass
    try:
        return _is_shown_whole(json.loads(arguments))
    except (TypeError, ValueError, RecursionError):
        return False


def _is_shown_whole(arguments: object) -> bool:
    return isinstance(arguments, dict) or arguments is None or arguments == []


def _one_call_each(turns: list[Turn], context: RepairContext) -> StepResult:
    """Split parallel calls into rounds of one call and its results."""
    made: list[Turn] = []
    changes: list[Change] = []
    at = 0
    while at < len(turns):
        turn = turns[at]
        at += 1
        calls = tool_calls(turn.message)
        if turn.kind != "call" or len(calls) < 2:
            made.append(turn)
            continue
        results: dict[str, list[Turn]] = {}
        while at < len(turns) and turns[at].kind == "tool":
            answered = str(turns[at].message.get("tool_call_id"))
            results.setdefault(answered, []).append(turns[at])
            at += 1
        changes.append(turn.change("tools", "the template takes one tool call at a time"))
        message = turn.message
        for call in calls:
            single = {"content": None, **message, "tool_calls": [call]}
            made.append(turn._replace(message=single))
            message = _without_text(turn.message)
            made += results.pop(str(call.get("id")), ())
        made += itertools.chain.from_iterable(results.values())
    return StepResult(made, changes)


def _write_torn_rounds(turns: list[Turn], context: RepairContext) -> StepResult:
    """Write calls out where not all have a result that the template needs, or may take.

    A result that it does not take, since no call waits for it, becomes words: what comes behind
    would be no part of the round any more.
    """
    policy = context.policy
    owners = pair(turns).owners
    made: list[Turn] = []
    changes: list[Change] = []
    for at, turn in enumerate(turns):
        if turn.kind != "call":
            made.append(turn)
            continue
        calls = tool_calls(turn.message)
        results, behind = _results_in_a_row(turns, at + 1, owners, policy)
        if any(owner is not None and owner.turn == at for owner in behind):
            why = "a result of another call stands amid those of this one"
        elif policy.all_answered and len(calls) > 1 and len(results) < len(calls):
            why = "the template wants a result for each tool call"
        else:
            made.append(turn)
            continue
        changes.append(turn.change("tools", why))
        made.append(tool_calls_as_text(turn, context))
    return StepResult(made, changes)


def _results_in_a_row(
    turns: Sequence[Turn], begin: int, owners: Sequence[CallPlace | None], policy: RepairPolicy
) -> tuple[set[CallPlace], Sequence[CallPlace | None]]:
    """Return the calls of the turn before that are answered, and whose results come too late.

    Args:
        turns: The turns.
        begin: The position behind the calls.
        owners: The call that each turn answers.
        policy: What the template needs.
    """
    following = map(turns.__getitem__, range(begin, len(turns)))
    row = sum(1 for _ in itertools.takewhile(lambda turn: turn.kind == "tool", following))
    if not row:
        return set(), ()
    ids = {call.get("id") for call in tool_calls(turns[begin - 1].message)}
    takes_more = all(policy.may_follow(f"{side}+tool", "tool") for side in ("user", "assistant"))
    answered: set[CallPlace] = set()
    for at in range(begin, begin + row):
        owner = owners[at]
        before = "call" if at == begin else "tool"
        if owner is not None and owner.turn == begin - 1 and owner not in answered:
            answered.add(owner)
        elif (
            policy.all_answered  # and counts them
            or (before == "tool" and not takes_more)
            or (before in policy.stray_results and turns[at].message.get("tool_call_id") not in ids)
        ):
            return answered, [each for each in owners[at + 1 : begin + row] if each not in answered]
    return answered, ()


def _put_text_apart(turns: list[Turn], context: RepairContext) -> StepResult:
    """Put the text beside a tool call into a turn of its own, before the call."""
    answered = len(turns)
    if context.policy.open_call_text:
        answered = max((at for at, turn in enumerate(turns) if turn.kind == "assistant"), default=0)
    made: list[Turn] = []
    changes: list[Change] = []
    for turn in turns[:answered]:
        if turn.kind == "call" and plain_text(turn.message).strip():
            why = "the template does not read text beside a tool call"
            changes.append(turn.change("tools", why))
            text = {key: value for key, value in turn.message.items() if key != "tool_calls"}
            made.append(Turn("assistant", text, turn.origins))
            turn = turn._replace(message=_without_text(turn.message))
        made.append(turn)
    return StepResult(made + turns[answered:], changes)


def _with_blank_content(turns: list[Turn], context: RepairContext) -> StepResult:
    """Put an empty string beside the calls that have no text."""
    made: list[Turn] = []
    changes: list[Change] = []
    for turn in turns:
        if turn.kind == "call" and turn.message.get("content") in (None, []):
            why = "the template wants a string beside a tool call"
            changes.append(turn.change("content", why))
            turn = turn._replace(message={**turn.message, "content": ""})
        made.append(turn)
    return StepResult(made, changes)


def _without_text(message: Message) -> dict[str, Any]:
    """Return a message without what `plain_text` returns of it."""
    kept = {key: value for key, value in message.items() if key != "refusal"}
    return {**kept, "content": None}
