"""Tool calls that cannot be shown as they are."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic_core import from_json

from ..messages.message import Message, is_object, plain_text, tool_calls
from .call_ids import with_short_ids, with_unrepeated_ids
from .context import RepairContext
from .labelled_text import tool_calls_as_text
from .turn import Turn


def normalize_tool_calls(turns: list[Turn], draft: RepairContext) -> list[Turn]:
    """Bring tool calls into a form that is read, or write them out as text."""
    normalized = turns
    if any(turn.kind == "call" or "function_call" in turn.message for turn in turns):
        normalized = list(_written_calls(turns, draft))
    if not draft.rules.may_follow("user", "call"):
        return normalized
    if draft.rules.long_call_ids != "accepted":
        normalized = list(with_short_ids(normalized, draft))
    if draft.rules.repeated_call_ids != "accepted":
        normalized = list(with_unrepeated_ids(normalized, draft))
    if draft.rules.parallel_calls != "accepted":
        normalized = list(_one_call_each(normalized, draft))
    elif draft.rules.half_answered != "accepted":
        normalized = list(_answered_calls(normalized, draft))
    if draft.rules.call_text != "accepted":
        normalized = list(_text_apart(normalized, draft))
    return normalized


def _written_calls(turns: Sequence[Turn], draft: RepairContext) -> Iterator[Turn]:
    """Write out the calls that no template is shown: vLLM drops malformed arguments."""
    for turn in turns:
        if turn.message.get("function_call") and turn.message["role"] == "assistant":
            draft.note("tools", turn, "vLLM does not show `function_call` to the template")
            yield tool_calls_as_text(turn, draft)
        elif not all(is_well_formed(call) for call in tool_calls(turn.message)):
            draft.note("tools", turn, "vLLM drops tool arguments that are no JSON object")
            yield tool_calls_as_text(turn, draft)
        else:
            yield turn


def is_well_formed(call: Mapping[str, Any]) -> bool:
    function = call.get("function")
    if call.get("type", "function") != "function" or not is_object(function):
        return False
    arguments = function.get("arguments")
    if not arguments or (not isinstance(arguments, str) and is_object(arguments)):
        return isinstance(function.get("name"), str)
    try:
        return isinstance(from_json(arguments), dict)
    except (TypeError, ValueError):  # stricter than vLLM's own parser, and several times as fast
        pass
    try:
        return isinstance(json.loads(arguments), dict)
    except (TypeError, ValueError, RecursionError):
        return False


def _one_call_each(turns: Sequence[Turn], draft: RepairContext) -> Iterator[Turn]:
    """Split parallel calls into rounds of one call and its results."""
    at = 0
    while at < len(turns):
        turn = turns[at]
        at += 1
        calls = tool_calls(turn.message)
        if turn.kind != "call" or len(calls) < 2:
            yield turn
            continue
        results: dict[str, list[Turn]] = {}
        while at < len(turns) and turns[at].kind == "tool":
            answered = str(turns[at].message.get("tool_call_id"))
            results.setdefault(answered, []).append(turns[at])
            at += 1
        draft.note("tools", turn, "the template takes one tool call at a time")
        message = turn.message
        for call in calls:
            yield turn._replace(message={"content": None, **message, "tool_calls": [call]})
            message = _without_text(turn.message)
            yield from results.pop(str(call.get("id")), ())
        yield from itertools.chain.from_iterable(results.values())


def _answered_calls(turns: Sequence[Turn], draft: RepairContext) -> Iterator[Turn]:
    """Write several calls out where not all of them have a result."""
    for at, turn in enumerate(turns):
        if turn.kind == "call" and len(tool_calls(turn.message)) > 1:
            after = map(turns.__getitem__, range(at + 1, len(turns)))
            results = itertools.takewhile(lambda turn: turn.kind == "tool", after)
            answered = {result.message.get("tool_call_id") for result in results}
            if not {call.get("id") for call in tool_calls(turn.message)} <= answered:
                draft.note("tools", turn, "the template wants a result for each tool call")
                turn = tool_calls_as_text(turn, draft)
        yield turn


def _text_apart(turns: Sequence[Turn], draft: RepairContext) -> Iterator[Turn]:
    """Put the text beside a tool call into a turn of its own, before the call."""
    answered = len(turns)
    if draft.rules.open_call_text == "accepted":
        answered = max((at for at, turn in enumerate(turns) if turn.kind == "assistant"), default=0)
    for turn in turns[:answered]:
        if turn.kind == "call" and plain_text(turn.message).strip():
            draft.note("tools", turn, "the template does not read text beside a tool call")
            text = {key: value for key, value in turn.message.items() if key != "tool_calls"}
            yield Turn("assistant", text, turn.origins)
            yield turn._replace(message=_without_text(turn.message))
        else:
            yield turn
    yield from turns[answered:]


def _without_text(message: Message) -> dict[str, Any]:
    """Give a message without what `plain_text` gives of it."""
    kept = {key: value for key, value in message.items() if key != "refusal"}
    return {**kept, "content": None}
