"""A cheap check that a conversation's tool calls need no step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from ..messages.message import Message, tool_calls
from .call_ids import NINE_CHARS
from .policy import RepairPolicy
from .tool_calls import is_well_formed


def tool_calls_are_clean(
    messages: Sequence[Message], called: Sequence[Message], policy: RepairPolicy
) -> bool:
    """Return whether `normalize_tool_calls` surely has nothing to do.

    Args:
        messages: The conversation.
        called: Its messages that hold more than a text: all calls and results are among them.
        policy: What the template needs.
    """
    check = _CallCheck(policy)
    # What stands between a call and its results makes a difference to few templates.
    return check.passes(messages if check.wants_all else called)


class _CallCheck:
    """Goes over the messages of a conversation once."""

    def __init__(self, policy: RepairPolicy) -> None:
        takes_calls = policy.takes_calls
        self.takes_long = not (takes_calls and policy.short_ids)
        self.takes_repeated = not (takes_calls and policy.new_ids)
        self.takes_text = not (takes_calls and policy.text_apart)
        self.takes_null = not (takes_calls and policy.blank_call_content)
        # Where ids are shown, one that two calls share may leave open whose result it is.
        self.takes_shared = not policy.unique_ids and policy.orders_results
        self.takes_several = not (takes_calls and policy.single_calls)
        self.takes_unnamed = not (takes_calls and policy.names_in_ids)
        self.wants_all = takes_calls and policy.all_answered
        self.orders_results = policy.orders_results
        self.order: dict[object, int] = {}  # the places of the last message's calls
        self.reached = -1  # the place of the call that was answered last
        self.called: set[object] = set()
        self.answered: set[object] = set()
        self.waiting: Counter[object] = Counter()

    def passes(self, messages: Iterable[Message]) -> bool:
        """Return whether nothing is in the way of these messages; False where it is not sure."""
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
        if not all(map(is_well_formed, calls)):
            return False
        if self.orders_results:
            places = reversed(list(enumerate(calls)))  # the first of calls with the same id counts
            order = {call.get("id"): at for at, call in places}
            if self.reached + 1 < len(self.order) and not order.keys().isdisjoint(self.order):
                return False  # an id that may still wait for the result of an earlier call
            self.order, self.reached = order, -1
        if not self.takes_unnamed and any(
            call["function"]["name"] not in str(call.get("id")) for call in calls
        ):
            return False
        if not self.takes_text and (message.get("content") or message.get("refusal")):
            return False
        if not self.takes_null and message.get("content") in (None, []):
            return False
        if len(calls) > 1:
            if not self.takes_several:
                return False
            if not self.takes_shared and len({call.get("id") for call in calls}) < len(calls):
                return False
            if self.wants_all:
                self.waiting = Counter(call.get("id") for call in calls)
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
        if self.waiting:
            self.waiting -= Counter((call_id,))
        if self.orders_results:
            # The call of another result, or none, is for the steps to find.
            place = self.order.get(call_id)
            if place is None or not self.reached <= place <= self.reached + 1:
                return False
            self.reached = place
        if self.takes_long and self.takes_repeated:
            return True
        if not self.takes_repeated:
            if call_id not in self.called or call_id in self.answered:
                return False
            self.answered.add(call_id)
        return self._takes_id(call_id)

    def _takes_id(self, call_id: object) -> bool:
        return isinstance(call_id, str) and (self.takes_long or bool(NINE_CHARS.fullmatch(call_id)))
