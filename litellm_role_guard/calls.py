"""Tool calls that cannot be shown as they are."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic_core import from_json

from .conversation import Message, is_empty, is_object, plain_text, tool_calls
from .profile import Rules
from .turns import Draft, Turn, written_out

_NINE = re.compile(r"[A-Za-z0-9]{9}")

ID_PRIME = 61803398903
"""A short call id is the remainder of a long one by this prime, which nine hexadecimal digits hold.

A template can compute a remainder and no hash, and templates/relax.jinja gives the same ids.
"""


def settle_calls(turns: list[Turn], draft: Draft) -> list[Turn]:
    """Bring tool calls into a form that is read, or write them out as text."""
    settled = turns
    if any(turn.kind == "call" or "function_call" in turn.message for turn in turns):
        settled = list(_written_calls(turns, draft))
    if not draft.rules.may_follow("user", "call"):
        return settled
    if draft.rules.long_call_ids != "accepted":
        settled = list(_with_short_ids(settled, draft))
    if draft.rules.repeated_call_ids != "accepted":
        settled = list(_unrepeated_ids(settled, draft))
    if draft.rules.parallel_calls != "accepted":
        settled = list(_one_call_each(settled, draft))
    elif draft.rules.half_answered != "accepted":
        settled = list(_answered_calls(settled, draft))
    if draft.rules.call_text != "accepted":
        settled = list(_text_apart(settled, draft))
    return settled


class _CallCheck:
    """Tells at a glance that a conversation's calls are in a form that is read, as most are."""

    def __init__(self, rules: Rules) -> None:
        takes_calls = rules.may_follow("user", "call")
        self.takes_long = not takes_calls or rules.long_call_ids == "accepted"
        self.takes_repeated = not takes_calls or rules.repeated_call_ids == "accepted"
        self.takes_text = not takes_calls or rules.call_text == "accepted"
        self.takes_several = not takes_calls or rules.parallel_calls == "accepted"
        self.wants_all = takes_calls and rules.half_answered != "accepted"
        self.called: set[object] = set()
        self.answered: set[object] = set()
        self.waiting: set[object] = set()

    def passes(self, messages: Iterable[Message]) -> bool:
        """Tell that `settle_calls` would change nothing; it may be so where this is False, too."""
        for message in messages:
            role = message["role"]
            if role == "tool":
                if not self._passes_result(message.get("tool_call_id")):
                    return False
            elif self.waiting:
                return False
            elif role != "assistant" or (len(message) == 2 and "content" in message):
                pass  # nothing but a text
            elif not self._passes_reply(message):
                return False
        return not self.waiting

    def _passes_reply(self, message: Message) -> bool:
        if message.get("function_call"):
            return False
        calls = tool_calls(message)
        if not calls:
            return True
        if not all(map(_well_formed, calls)):
            return False
        if not self.takes_text and (message.get("content") or message.get("refusal")):
            return False
        if len(calls) > 1:
            if not self.takes_several:
                return False
            if self.wants_all:
                self.waiting = {call.get("id") for call in calls}
        if self.takes_long and self.takes_repeated:
            return True
        for call in calls:
            call_id = call.get("id")
            if not self._takes_id(call_id) or call_id in self.called:
                return False
            if not self.takes_repeated:
                self.called.add(call_id)
        return True

    def _passes_result(self, call_id: object) -> bool:
        self.waiting.discard(call_id)
        if self.takes_long and self.takes_repeated:
            return True
        if not self.takes_repeated:
            if call_id not in self.called or call_id in self.answered:
                return False
            self.answered.add(call_id)
        return self._takes_id(call_id)

    def _takes_id(self, call_id: object) -> bool:
        return isinstance(call_id, str) and (self.takes_long or bool(_NINE.fullmatch(call_id)))


def need_no_settling(messages: Sequence[Message], called: Sequence[Message], rules: Rules) -> bool:
    """Tell at a glance that `settle_calls` has nothing to do, as it has for most conversations.

    Args:
        messages: The conversation.
        called: Its messages that hold more than a text: all calls and results are among them.
        rules: What the template takes.
    """
    check = _CallCheck(rules)
    # What stands between a call and its results makes a difference to few templates.
    return check.passes(messages if check.wants_all else called)


def _written_calls(turns: Sequence[Turn], draft: Draft) -> Iterator[Turn]:
    """Write out the calls that no template is shown: vLLM drops malformed arguments."""
    for turn in turns:
        if turn.message.get("function_call") and turn.message["role"] == "assistant":
            draft.note("tools", turn, "vLLM does not show `function_call` to the template")
            yield written_out(turn, draft)
        elif not all(_well_formed(call) for call in tool_calls(turn.message)):
            draft.note("tools", turn, "vLLM drops tool arguments that are no JSON object")
            yield written_out(turn, draft)
        else:
            yield turn


def _well_formed(call: Mapping[str, Any]) -> bool:
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


def _with_short_ids(turns: Sequence[Turn], draft: Draft) -> Iterator[Turn]:
    shortened: set[object] = set()
    for turn in turns:
        message = dict(turn.message)
        if turn.kind == "call":
            calls = tool_calls(turn.message)
            shortened.update(call.get("id") for call in calls)
            short = [{**call, "id": _short_id(call.get("id"))} for call in calls]
            if short != list(calls):
                message["tool_calls"] = short
        elif turn.kind == "tool":
            given = message.get("tool_call_id")
            if given in shortened or draft.rules.long_result_ids != "accepted":
                message["tool_call_id"] = _short_id(given)
        if message == turn.message:
            yield turn
        else:
            draft.note("tools", turn, "the template wants tool call ids of 9 letters and digits")
            yield turn._replace(message=message)


def _short_id(call_id: object) -> str:
    """A call id of 9 letters and digits: the given one, or one that always follows from it."""
    text = str(call_id)
    if _NINE.fullmatch(text):
        return text
    return f"{int.from_bytes(text.encode(errors='surrogatepass'), 'big') % ID_PRIME:09x}"


def _unrepeated_ids(turns: Sequence[Turn], draft: Draft) -> Iterator[Turn]:
    """Give an id that was used before a new one, for the call and its results alike."""
    # Some templates forget the id of a result that stands alone, or first among several.
    forgets = draft.rules.repeated_lone_ids == "accepted"
    used: set[str] = set()
    answered: set[str] = set()
    now: dict[str, str] = {}
    first = surely_first = True

    # Counted: what would follow from an id alone could be taken as well, and lead back to it.
    new_ids = map("{:09x}".format, itertools.count(1))

    def unused(call_id: str) -> str:
        if call_id not in used:
            return call_id
        return next(new for new in new_ids if new not in used and new not in now)

    for turn in turns:
        message = dict(turn.message)
        if turn.kind == "call":
            calls = []
            for call in tool_calls(turn.message):
                given = str(call.get("id"))
                now[given] = unused(given)
                calls.append(call if now[given] == given else {**call, "id": now[given]})
                if not forgets:
                    used.add(now[given])
            if calls != list(tool_calls(turn.message)):
                message["tool_calls"] = calls
        elif turn.kind == "tool":
            given = str(message.get("tool_call_id"))
            again = not is_empty(message) and (
                first and now.get(given) in used if forgets else now.get(given) in answered
            )
            if given not in now or again:
                now[given] = unused(given)
            if not (forgets and surely_first):
                used.add(now[given])
            answered.add(now[given])
            if now[given] != given:
                message["tool_call_id"] = now[given]
        # One that is passed over for its id leaves its place to the next.
        first = turn.kind != "tool" or (first and now[given] in used)
        if turn.kind != "tool" and not is_empty(turn.message):  # an empty one may be left out
            surely_first = True
        elif turn.kind == "tool":
            surely_first = False
        if message == turn.message:
            yield turn
        else:
            draft.note("tools", turn, "the template reads the same tool call id only once")
            yield turn._replace(message=message)


def _one_call_each(turns: Sequence[Turn], draft: Draft) -> Iterator[Turn]:
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


def _answered_calls(turns: Sequence[Turn], draft: Draft) -> Iterator[Turn]:
    """Write several calls out where not all of them have a result."""
    for at, turn in enumerate(turns):
        if turn.kind == "call" and len(tool_calls(turn.message)) > 1:
            after = map(turns.__getitem__, range(at + 1, len(turns)))
            results = itertools.takewhile(lambda turn: turn.kind == "tool", after)
            answered = {result.message.get("tool_call_id") for result in results}
            if not {call.get("id") for call in tool_calls(turn.message)} <= answered:
                draft.note("tools", turn, "the template wants a result for each tool call")
                turn = written_out(turn, draft)
        yield turn


def _text_apart(turns: Sequence[Turn], draft: Draft) -> Iterator[Turn]:
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
