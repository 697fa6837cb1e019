"""Building probes; every text that is added is a new mark."""

from __future__ import annotations

from collections.abc import Sequence

from ..messages.message import Message
from .probe import Probe

FIRST_MARK = "zq00vx"
"""The first mark of every conversation."""

_ID_MARK = "zq90vx"

_REST_OF_TEXT = '\n"é" {x}'
"""What stands behind a mark: what is written otherwise wherever a text is shown as source code."""


class ProbeBuilder:
    """A conversation in the making; every text that is added is a new mark."""

    def __init__(self, *kinds: str, unordered_marks: int = 0) -> None:
        self.messages: list[Message] = []
        self.marks: list[str] = []
        self.unordered_marks = unordered_marks
        self.prefill = False
        for kind in kinds:
            self.add(kind)

    def probe(self, tools: bool, profile_path: tuple[str, ...]) -> Probe:
        """Return the probe."""
        return Probe(
            self.messages, self.marks, tools, self.unordered_marks, profile_path, self.prefill
        )

    def to_be_continued(self) -> ProbeBuilder:
        """Take the last message for the opening of the reply."""
        self.prefill = True
        return self

    def mark(self) -> str:
        """Return a new mark."""
        self.marks.append(f"zq{len(self.marks):02d}vx")
        return self.marks[-1]

    def text(self) -> str:
        """Return a text of two lines that begins with a new mark."""
        return self.mark() + _REST_OF_TEXT

    def add(self, kind: str) -> ProbeBuilder:
        """Add a message of this kind; a tool message answers the call that is open."""
        if kind == "call":
            return self.call(1)
        if kind == "empty":
            return self.say("system", "")
        if kind == "tool":
            return self.answer(self._open_call())
        message = {"role": kind, "content": self.text()}
        if kind == "function":
            message["name"] = "look_up"
        self.messages.append(message)
        return self

    def call(
        self,
        count: int,
        *,
        text: bool = False,
        content: str | None = None,
        call_id: str | None = None,
    ) -> ProbeBuilder:
        """Add an assistant message with this many tool calls.

        Args:
            count: How many.
            text: Whether a text stands beside them.
            content: What stands there if none does.
            call_id: The id of each call; None for one of its own.
        """
        content = self.text() if text else content
        calls = [
            {
                "id": call_id or f"call{len(self.messages):02d}{position:03d}",
                "type": "function",
                "function": {"name": "look_up", "arguments": f'{{"word": "{self.mark()}"}}'},
            }
            for position in range(count)
        ]
        self.messages.append({"role": "assistant", "content": content, "tool_calls": calls})
        return self

    def answer(self, call_id: str) -> ProbeBuilder:
        """Add the result of a call."""
        self.messages.append({"role": "tool", "tool_call_id": call_id, "content": self.mark()})
        return self

    def say(self, kind: str, content: object) -> ProbeBuilder:
        """Add a message with this very content."""
        if kind == "tool":
            self.messages.append(
                {"role": "tool", "tool_call_id": self._open_call(), "content": content}
            )
        else:
            self.messages.append({"role": kind, "content": content})
        return self

    def moved(self, kind: str) -> ProbeBuilder:
        """Expect the text of this kind's message before all others."""
        at = next(at for at, message in enumerate(self.messages) if message["role"] == kind)
        self.marks.insert(0, self.marks.pop(at))
        return self

    def parts(self, kind: str) -> ProbeBuilder:
        """Add a message of two text parts; a result may be written as source code on purpose."""
        text = self.mark if kind == "tool" else self.text
        return self.say(kind, [{"type": "text", "text": text()} for _ in range(2)])

    def refuse(self) -> ProbeBuilder:
        """Add an assistant message whose text is a refusal part."""
        return self.say("assistant", [{"type": "refusal", "refusal": self.mark()}])

    def think(self) -> ProbeBuilder:
        """Add an assistant message with reasoning."""
        thought = {"reasoning": "A thought."}
        self.messages.append({"role": "assistant", "content": self.mark(), **thought})
        return self

    def _open_call(self) -> str:
        calls = [call for message in self.messages for call in message.get("tool_calls", ())]
        return str(calls[-1]["id"]) if calls else "call00000"


def on_path(way: Sequence[str], *kinds: str) -> ProbeBuilder:
    """Go on from a way; the text of a system message at the front may be adrift."""
    return ProbeBuilder(*way, *kinds, unordered_marks=int(way[:1] == ("system",)))


def parallel_round(count: int) -> ProbeBuilder:
    """Build several calls in one message, and their results."""
    talk = ProbeBuilder("user").call(count)
    for call in talk.messages[-1]["tool_calls"]:
        talk.answer(str(call["id"]))
    return talk


def swapped_results() -> ProbeBuilder:
    """Build two calls whose results come in the other order.

    The id of the first call is a mark, which a prompt has to show once more behind the other
    call's result: by nothing else could a model pair them.
    """
    probe = ProbeBuilder("user").call(2)
    first, second = probe.messages[-1]["tool_calls"]
    first["id"] = f"{_ID_MARK}000"
    probe.answer(str(second["id"])).answer(str(first["id"]))
    probe.marks[-1] = _ID_MARK
    return probe


def half_answered() -> ProbeBuilder:
    """Build two calls of which one has a result."""
    talk = ProbeBuilder("user").call(2)
    call = talk.messages[-1]["tool_calls"][0]
    return add_all(talk.answer(str(call["id"])), ("assistant", "user"))


def repeated_id(count: int) -> ProbeBuilder:
    """Build a round, and a later call with the id of its last result."""
    talk = parallel_round(count)
    seen = str(talk.messages[-1]["tool_call_id"])
    return add_all(talk, ("assistant", "user")).call(1, call_id=seen).add("tool")


def shared_id() -> ProbeBuilder:
    """Build two calls with the same id, and a result for each."""
    talk = ProbeBuilder("user").call(2, call_id="call00000")
    return add_all(talk.answer("call00000").answer("call00000"), ("assistant", "user"))


def late_result(*before: str) -> ProbeBuilder:
    """Build a result in a later turn than all calls."""
    talk = ProbeBuilder("user", "call", "tool", "assistant", *before).answer("another00")
    return add_all(talk, ("assistant", "user") if before else ("user",))


def add_all(talk: ProbeBuilder, kinds: Sequence[str]) -> ProbeBuilder:
    """Add messages of these kinds."""
    for kind in kinds:
        talk.add(kind)
    return talk
