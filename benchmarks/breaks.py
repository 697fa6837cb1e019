"""Conversations that grow request by request, and what happens in them, always the same."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence

from litellm_role_guard.messages.message import Message

REQUESTS = 10

CHARS = 220
"""About how long each text is."""

BREAKS: dict[str, dict[int, str]] = {
    "an unanswered question": {3: "unanswered"},
    "four of them": {2: "unanswered", 3: "unanswered", 5: "unanswered", 8: "unanswered"},
    "a late system message": {4: "system"},
    "one after every second question": dict.fromkeys((1, 3, 5, 7, 9), "reminder"),
    "a developer message": {4: "developer"},
    "a round of tool calls": {4: "tools"},
    "all of these": {
        2: "unanswered",
        4: "system",
        5: "reminder",
        6: "tools",
        7: "developer",
        8: "unanswered",
    },
}
"""What happens in which turn of a conversation, the first one being 0."""

Talk = Sequence[Sequence[Message]]
"""The messages of each request of one conversation, each request with all that came before."""


def talk(events: Mapping[int, str], seed: str) -> Talk:
    """Give a conversation in which something happens, as its client sends it.

    It begins with a system message, and has `REQUESTS` requests.

    Args:
        events: What happens in which turn: `unanswered`, a question that gets no reply; `system`
            and `developer`, a message before the question; `reminder`, a system message after it;
            `tools`, a call of a tool before the reply.
        seed: What the texts are drawn with.
    """
    words = random.Random(seed)

    def text() -> str:
        return " ".join(f"{words.getrandbits(32):08x}" for _ in range(CHARS // 9))

    messages: list[Message] = [{"role": "system", "content": text()}]
    requests: list[list[Message]] = []
    turn = 0
    while len(requests) < REQUESTS:
        event = events.get(turn)
        if event in ("system", "developer"):
            messages.append({"role": event, "content": text()})
        messages.append({"role": "user", "content": text()})
        if event == "reminder":
            messages.append({"role": "system", "content": text()})
        requests.append(list(messages))
        if event == "tools":
            called = {"name": "look_up", "arguments": json.dumps({"for": text()})}
            call = {"id": f"call{turn:05}", "type": "function", "function": called}
            messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": text()})
            requests.append(list(messages))
        if event != "unanswered":
            messages.append({"role": "assistant", "content": text()})
        turn += 1
    return requests[:REQUESTS]
