"""Small marked conversations, put to an oracle and read into a profile.

An oracle says what a model would read of a conversation, or that it is refused: a chat template
does, and so does a live vLLM. Every text of a question is a mark, a word that no template holds,
so that looking for the marks in the prompt tells what was read, what was dropped and what was
moved. The questions come in batches, since a later one may build on an earlier answer.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from .conversation import Message
from .profile import FRONT_KINDS, FRONTS, KINDS, STATES, Answer, Kind, Rules, TemplateProfile, after
from .template import ChatTemplate, TemplateRefused

TOOLS: tuple[dict[str, Any], ...] = (
    {
        "type": "function",
        "function": {
            "name": "look_up",
            "description": "Look a word up.",
            "parameters": {
                "type": "object",
                "properties": {"word": {"type": "string", "description": "The word."}},
                "required": ["word"],
            },
        },
    },
)


class Question(NamedTuple):
    """A conversation whose texts are marks.

    Attributes:
        messages: The conversation, asked as if a reply were wanted.
        marks: Its texts and tool arguments, in order.
        tools: Whether tool definitions go with it.
        adrift: How many of the first marks may stand anywhere in the prompt.
        decides: The field of the rules that the answer goes into, then the keys in it.
    """

    messages: list[Message]
    marks: list[str]
    tools: bool
    adrift: int = 0
    decides: tuple[str, ...] = ()


Reading = str | None
"""The prompt that the oracle rendered; None where it refused."""

Course = Generator[list[Question], list[Reading], TemplateProfile]


def learn_from_template(template: ChatTemplate) -> TemplateProfile:
    """Learn a profile from a local template, at the cost of some hundred short renderings."""

    def read(question: Question) -> Reading:
        try:
            return template.render(question.messages, tools=TOOLS if question.tools else None)
        except TemplateRefused:
            return None

    return learn(read, tools=template.reads_tools)


def learn(read: Callable[[Question], Reading], *, tools: bool = True) -> TemplateProfile:
    """Learn a profile from any oracle that answers one question at a time.

    Args:
        read: The oracle.
        tools: Whether it may answer otherwise when tool definitions are given.
    """
    course = questions(tools=tools)
    try:
        batch = next(course)
        while True:
            batch = course.send([read(question) for question in batch])
    except StopIteration as finished:
        profile: TemplateProfile = finished.value
        return profile


def questions(*, tools: bool = True) -> Course:
    """Give the questions in batches, take their readings, and return the profile they make.

    Args:
        tools: Whether to ask all of them with tool definitions as well.
    """
    plain = yield from _rules(tools=False)
    armed = (yield from _rules(tools=True)) if tools else plain
    return TemplateProfile(**dict(plain), with_tools=None if armed == plain else armed)


def judge(reading: Reading, marks: Sequence[str], adrift: int = 0) -> Answer:
    """Give the answer that a reading is: were all marks found, each after the one before?

    Args:
        reading: The prompt, or None for a refusal.
        marks: The words to look for, in order.
        adrift: How many of the first ones may stand anywhere.
    """
    if reading is None:
        return "refused"
    if not all(mark in reading for mark in marks[:adrift]):
        return "not_read"
    at = 0
    for mark in marks[adrift:]:
        found = reading.find(mark, at)
        if found < 0:
            return "not_read"
        at = found + len(mark)
    return "accepted"


class _Talk:
    """A conversation in the making; every text that is added is a new mark."""

    def __init__(self, *kinds: str, adrift: int = 0) -> None:
        self.messages: list[Message] = []
        self.marks: list[str] = []
        self.adrift = adrift
        for kind in kinds:
            self.add(kind)

    def question(self, tools: bool, decides: tuple[str, ...]) -> Question:
        return Question(self.messages, self.marks, tools, self.adrift, decides)

    def mark(self) -> str:
        self.marks.append(f"zq{len(self.marks):02d}vx")
        return self.marks[-1]

    def add(self, kind: str) -> _Talk:
        """Add a message of this kind; a tool message answers the call that is open."""
        if kind == "call":
            return self.call(1)
        if kind == "empty":
            return self.say("system", "")
        if kind == "tool":
            return self.answer(self._open_call())
        message = {"role": kind, "content": self.mark()}
        if kind == "function":
            message["name"] = "look_up"
        self.messages.append(message)
        return self

    def call(self, count: int, *, text: bool = False, call_id: str | None = None) -> _Talk:
        content = self.mark() if text else None
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

    def answer(self, call_id: str) -> _Talk:
        self.messages.append({"role": "tool", "tool_call_id": call_id, "content": self.mark()})
        return self

    def say(self, kind: str, content: object) -> _Talk:
        """Add a message with this very content."""
        if kind == "tool":
            self.messages.append(
                {"role": "tool", "tool_call_id": self._open_call(), "content": content}
            )
        else:
            self.messages.append({"role": kind, "content": content})
        return self

    def moved(self, kind: str) -> _Talk:
        """Expect the text of this kind's message before all others."""
        at = next(at for at, message in enumerate(self.messages) if message["role"] == kind)
        self.marks.insert(0, self.marks.pop(at))
        return self

    def parts(self, kind: str) -> _Talk:
        return self.say(kind, [{"type": "text", "text": self.mark()} for _ in range(2)])

    def _open_call(self) -> str:
        calls = [call for message in self.messages for call in message.get("tool_calls", ())]
        return str(calls[-1]["id"]) if calls else "call00000"


# How a conversation gets to each state: the first of these ways that the template reads. A state
# that no way leads to is one that a repair never enters.
_WAYS: dict[str, tuple[tuple[str, ...], ...]] = {
    "start": ((),),
    "front": (("system",),),
    "user": (("user",),),
    "user+call": (("user", "call"),),
    "user+tool": (("user", "call", "tool"), ("user", "tool")),
    "user+system": (("user", "system"), ("user", "function"), ("user", "developer")),
    "assistant": (("user", "assistant"),),
    "assistant+call": (("user", "assistant", "call"),),
    "assistant+tool": (("user", "assistant", "call", "tool"), ("user", "assistant", "tool")),
    "assistant+system": (
        ("user", "assistant", "system"),
        ("user", "assistant", "function"),
        ("user", "assistant", "developer"),
    ),
}

# What may be needed after a message before a template takes it. A conversation in the middle of
# which a message stands is as good a proof as one that ends in it.
_SEQUELS: dict[Kind, tuple[tuple[str, ...], ...]] = {
    "user": ((),),
    "assistant": ((), ("user",)),
    "call": (("tool",), ("tool", "assistant", "user")),
    "tool": ((), ("assistant", "user")),
    # Long enough to tell text that stays where it was said from text that is moved to the front, or
    # to the last user turn.
    "system": (("user", "assistant", "user"), ("assistant", "user", "assistant", "user")),
    "developer": (("user", "assistant", "user"), ("assistant", "user", "assistant", "user")),
    "function": (("user", "assistant", "user"), ("assistant", "user", "assistant", "user")),
}


@dataclass
class _Asker:
    """Puts talks to the oracle, all of one batch at once."""

    tools: bool

    def __call__(
        self, talks: Mapping[Any, Sequence[_Talk]], *field: str
    ) -> Generator[list[Question], list[Reading], dict[Any, Answer]]:
        """Judge each key by the best of its talks; a later one is tried where none was read yet.

        Args:
            talks: Ways to ask, by a key.
            field: The field of the rules to which the keys belong, unless they name it themselves.
        """
        answers: dict[Any, Answer] = {}
        for attempt in range(max(map(len, talks.values()), default=0)):
            batch = [
                (key, variants[attempt].question(self.tools, (*field, *keys)))
                for key, variants in talks.items()
                for keys in [key if isinstance(key, tuple) else (key,)]
                if attempt < len(variants) and answers.get(key) != "accepted"
            ]
            if not batch:
                break
            readings = yield [question for _, question in batch]
            for (key, question), reading in zip(batch, readings, strict=True):
                answer = judge(reading, question.marks, question.adrift)
                if _rank(answer) > _rank(answers.get(key)):
                    answers[key] = answer
        return answers


def _rank(answer: Answer | None) -> int:
    return -1 if answer is None else ("refused", "not_read", "accepted").index(answer)


def _rules(*, tools: bool) -> Generator[list[Question], list[Reading], Rules]:
    ask = _Asker(tools)
    front = yield from ask({run: [_Talk(*run.split(), "user")] for run in FRONTS}, "front")
    follows: dict[str, dict[Kind, Answer]] = {}
    ends: dict[str, Answer] = {}
    front_ends: dict[str, Answer] = {}
    skipped: dict[str, list[Kind]] = {}
    for state in STATES:
        way = _way(state, front, follows)
        if way is None:
            # Nothing that was read leads here, so that nothing may be built on it.
            follows[state] = dict.fromkeys(KINDS, "refused")
            continue
        follows[state] = yield from ask(
            {kind: [_Talk(*way, kind, *sequel) for sequel in _SEQUELS[kind]] for kind in KINDS},
            "follows",
            state,
        )
        if state not in ("start", "front"):
            ends |= yield from ask({state: [_Talk(*way)]}, "ends")
            skipped[state] = yield from _skipped(
                ask, state, way, front, follows[state], ends[state]
            )
            if front["system"] == "accepted":
                talk = _Talk("system", *way, adrift=1)
                front_ends |= yield from ask({state: [talk]}, "front_ends")
    gathered = yield from ask(
        {
            (kind, frame): [_Talk(*(kind if at == "*" else at for at in frame)).moved(kind)]
            for kind in FRONT_KINDS
            for frame in (("user", "*", "assistant", "user"), ("user", "assistant", "*", "user"))
        },
        "gathered",
    )
    reads_calls = follows.get("user", {}).get("call") == "accepted"
    without_user = yield from ask(
        {
            "front": [_Talk("system")],
            "assistant": [_Talk("assistant")],
            "opened": [_Talk("assistant", "user")],
        },
        "without_user",
    )
    if front["system"] != "accepted":
        del without_user["front"]
    if without_user.pop("opened") != "accepted":
        del without_user["assistant"]
    details = yield from ask(_details(reads_calls))
    several = "two" if details.get("parallel_calls") == "accepted" else "one"
    return Rules(
        front=front,
        follows=follows,
        ends=ends,
        front_ends=front_ends,
        skipped={state: kinds for state, kinds in skipped.items() if kinds},
        without_user=without_user,
        gathered=[
            kind
            for kind in FRONT_KINDS
            if all(answer == "accepted" for (asked, _), answer in gathered.items() if asked == kind)
        ],
        developer_then_system=details.pop("developer_then_system"),
        parts=_group(details, "parts"),
        null=_group(details, "null"),
        blank=_group(details, "blank"),
        call_text=details.get("call_text", "accepted"),
        parallel_calls=details.get("parallel_calls", "accepted"),
        stray_results=details.get("stray_results", "accepted"),
        long_call_ids=details.get("long_call_ids", "accepted"),
        repeated_call_ids=details.get(("repeated_call_ids", several), "accepted"),
    )


def _way(
    state: str, front: Mapping[str, Answer], follows: Mapping[str, Mapping[Kind, Answer]]
) -> tuple[str, ...] | None:
    """Give the first way to a state on which every message is read."""
    if state == "front":
        return ("system",) if front["system"] == "accepted" else None
    for way in _WAYS[state]:
        here, read = "start", True
        for kind in way:
            read = read and follows.get(here, {}).get(_kind(kind)) == "accepted"
            here = after(here, kind)
        if read:
            return way
    return None


def _skipped(
    ask: _Asker,
    state: str,
    way: tuple[str, ...],
    front: Mapping[str, Answer],
    row: Mapping[Kind, Answer],
    end: Answer,
) -> Generator[list[Question], list[Reading], list[Kind]]:
    """Give the kinds of which an empty message changes nothing, though the kind is not read."""
    unread: list[Kind] = [
        kind for kind in ("tool", "system", "function") if row[kind] == "not_read"
    ]
    # With a system message at the front, since some templates keep the last one, be it empty.
    lead = ("system",) if front["system"] == "accepted" else ()
    answers = yield from ask(
        {
            (kind, next_): [_add(_Talk(*lead, *way, adrift=len(lead)).say(kind, ""), sequel)]
            for kind in unread
            for next_, sequel in _AFTER_SKIPPED.items()
        },
        "skipped",
        state,
    )
    without: dict[str, Answer] = {**dict(row.items()), "end": end}
    return [
        kind
        for kind in unread
        if all(
            (answers[kind, next_] == "accepted") == (without[next_] == "accepted")
            for next_ in _AFTER_SKIPPED
        )
    ]


_AFTER_SKIPPED: dict[str, tuple[str, ...]] = {
    "end": (),
    "user": ("user",),
    "assistant": ("assistant", "user"),
}


def _kind(kind: str) -> Kind:
    return next(known for known in KINDS if known == kind)


def _group(details: Mapping[Any, Answer], name: str) -> dict[str, Answer]:
    return {key[1]: answer for key, answer in details.items() if key[0] == name}


def _details(reads_calls: bool) -> dict[Any, list[_Talk]]:
    asked: dict[Any, list[_Talk]] = {
        "developer_then_system": [
            _Talk("developer", "user", "system", "user"),
            _Talk("developer", "user", "assistant", "system", "user"),
        ],
    }
    frames: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
        "system": ((), ("user",)),
        "developer": ((), ("user",)),
        "user": ((), ("assistant", "user")),
        "assistant": (("user",), ("user",)),
    }
    if reads_calls:
        frames["tool"] = (("user", "call"), ("assistant", "user"))
        asked |= {
            # Some templates take a call's text for a thought, and drop it once an answer follows.
            "call_text": [_add(_Talk("user").call(1, text=True), ("tool", "assistant", "user"))],
            "parallel_calls": [_rounds(2)],
            "stray_results": [_Talk("user", "call").answer("another00")],
            ("repeated_call_ids", "two"): [_repeated(2)],
            ("repeated_call_ids", "one"): [_repeated(1)],
            "long_call_ids": [_Talk("user").call(1, call_id="call_0123456789").add("tool")],
        }
    for kind, (before, rest) in frames.items():
        asked["parts", kind] = [_add(_Talk(*before).parts(kind), rest)]
        asked["null", kind] = [_add(_Talk(*before).say(kind, None), rest)]
        asked["blank", kind] = [_add(_Talk(*before).say(kind, ""), rest)]
    return asked


def _rounds(count: int) -> _Talk:
    talk = _Talk("user").call(count)
    for call in talk.messages[-1]["tool_calls"]:
        talk.answer(str(call["id"]))
    return talk


def _repeated(count: int) -> _Talk:
    talk = _rounds(count)
    seen = str(talk.messages[-1]["tool_call_id"])
    return _add(talk, ("assistant", "user")).call(1, call_id=seen).add("tool")


def _add(talk: _Talk, kinds: Sequence[str]) -> _Talk:
    for kind in kinds:
        talk.add(kind)
    return talk
