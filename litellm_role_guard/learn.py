"""Small marked conversations, put to an oracle and read into a profile.

An oracle says what a model would read of a conversation, or that it is refused: a chat template
does, and so does a live vLLM. Every text of a question is a mark, a word that no template holds,
so that looking for the marks in the prompt tells what was read, what was dropped and what was
moved. The questions come in batches, since a later one may build on an earlier answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

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
        decides: The field of the rules that the answer goes into, then the keys in it; empty where
            it goes into none.
    """

    messages: list[Message]
    marks: list[str]
    tools: bool
    adrift: int = 0
    decides: tuple[str, ...] = ()


_MARK = re.compile(r"zq\d\dvx")

Reading = str | None
"""The prompt that the oracle rendered; None where it refused."""

Course = Generator[list[Question], list[Reading], TemplateProfile]

_Result = TypeVar("_Result")


def learn_from_template(template: ChatTemplate) -> TemplateProfile:
    """Learn a profile from a local template, at the cost of some hundred short renderings."""

    readings: dict[str, Reading] = {}

    def read(question: Question) -> Reading:
        # One conversation may answer several questions.
        asked = repr((question.messages, question.tools))
        if asked not in readings:
            try:
                tools = TOOLS if question.tools else None
                readings[asked] = template.render(question.messages, tools=tools)
            except TemplateRefused:
                readings[asked] = None
        return readings[asked]

    return learn(read, tools=template.reads_tools)


def learn(read: Callable[[Question], Reading], *, tools: bool = True) -> TemplateProfile:
    """Learn a profile from any oracle that answers one question at a time.

    Args:
        read: The oracle.
        tools: Whether it may answer otherwise when tool definitions are given.
    """
    return answered(questions(tools=tools), read)


def answered(
    course: Generator[list[Question], list[Reading], _Result], read: Callable[[Question], Reading]
) -> _Result:
    """Go through a course, or a part of one, and give what it comes to.

    Args:
        course: The questions.
        read: The oracle.
    """
    try:
        batch = next(course)
        while True:
            batch = course.send([read(question) for question in batch])
    except StopIteration as finished:
        result: _Result = finished.value
        return result


def questions(*, tools: bool = True) -> Course:
    """Give the questions in batches, take their readings, and return the profile they make.

    Args:
        tools: Whether to ask with tool definitions as well, where they matter.
    """
    asked: list[tuple[Question, Reading]] = []
    plain = yield from _noted(_rules(tools=False), asked)
    if not tools or not (yield from _is_changed(asked)):
        return TemplateProfile(**dict(plain))
    armed = yield from _rules(tools=True)
    return TemplateProfile(**dict(plain), with_tools=None if armed == plain else armed)


def _noted(
    course: Generator[list[Question], list[Reading], Rules], asked: list[tuple[Question, Reading]]
) -> Generator[list[Question], list[Reading], Rules]:
    """Go through a course, and keep its questions with their readings."""
    try:
        batch = next(course)
        while True:
            readings = yield batch
            asked.extend(zip(batch, readings, strict=True))
            batch = course.send(readings)
    except StopIteration as finished:
        rules: Rules = finished.value
        return rules


def _is_changed(
    asked: Sequence[tuple[Question, Reading]],
) -> Generator[list[Question], list[Reading], bool]:
    """Tell whether tool definitions change what is read of any conversation.

    It is asked of one of each form, which are some 60 questions. Few templates have more to do with
    tools than to show them; of those that have, all is asked once more.
    """
    samples: list[tuple[Question, Reading]] = []
    seen: set[object] = set()
    for question, reading in asked:
        forms = _forms(question, reading)
        if not seen.issuperset(forms):
            seen.update(forms)
            samples.append((question, reading))
    readings = yield [question._replace(tools=True, decides=()) for question, _ in samples]
    return any(
        _read_marks(armed) != _read_marks(plain)
        for armed, (_, plain) in zip(readings, samples, strict=True)
    )


def _forms(question: Question, reading: Reading) -> set[object]:
    """Tell conversations apart by where tools may matter: both ends, and what follows on what.

    Of one that is refused it cannot be told what it is refused for; its ends must do.
    """
    first, last = question.messages[0], question.messages[-1]
    ends = (reading is None, form_of(first), form_of(last), len(question.messages) == 1)
    if reading is None:
        return {ends}
    said = [_rough_form_of(message) for message in question.messages]
    return {ends, *zip([None, *said], [*said, None], strict=True)}


def _rough_form_of(message: Message) -> object:
    content, calls = message.get("content"), len(message.get("tool_calls", ()))
    return message["role"], calls, isinstance(content, list), bool(calls and content)


def form_of(message: Message) -> tuple[Any, ...]:
    """Tell messages apart by what servers and templates go by: role, kind of content, calls."""
    content = message.get("content")
    calls = len(message.get("tool_calls", ()))
    return message["role"], type(content).__name__, content == "", calls


def marks_in(reading: str) -> list[str]:
    """Give the marks that stand in a text, in order."""
    return _MARK.findall(reading)


def _read_marks(reading: Reading) -> list[str] | None:
    return None if reading is None else marks_in(reading)


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

    def refuse(self) -> _Talk:
        return self.say("assistant", [{"type": "refusal", "refusal": self.mark()}])

    def think(self) -> _Talk:
        thought = {"reasoning": "A thought."}
        self.messages.append({"role": "assistant", "content": self.mark(), **thought})
        return self

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
    "user+system": (
        ("user", "system"),
        ("user", "function"),
        ("user", "developer"),
        ("system", "user", "system"),
    ),
    "assistant": (("user", "assistant"),),
    "assistant+call": (("user", "assistant", "call"),),
    "assistant+tool": (("user", "assistant", "call", "tool"), ("user", "assistant", "tool")),
    "assistant+system": (
        ("user", "assistant", "system"),
        ("user", "assistant", "function"),
        ("user", "assistant", "developer"),
        ("system", "user", "assistant", "system"),
    ),
}

# What may be needed after a message before a template takes it. A conversation in the middle of
# which a message stands is as good a proof as one that ends in it.
_SEQUELS: dict[Kind, tuple[tuple[str, ...], ...]] = {
    "user": ((),),
    "assistant": ((), ("user",)),
    "call": (("tool",), ("tool", "assistant", "user")),
    # Whether a conversation may end there is asked of the state. A count of calls and results is
    # made by some only once the next turn begins.
    "tool": (("assistant", "user"), ("user", "assistant", "user")),
    # Long enough to tell text that stays where it was said from text that is moved to the front, or
    # to the last user turn.
    "system": (("user", "assistant", "user"), ("assistant", "user", "assistant", "user")),
    "developer": (("user", "assistant", "user"), ("assistant", "user", "assistant", "user")),
    "function": (("user", "assistant", "user"), ("assistant", "user", "assistant", "user")),
}


_SPEAKS: tuple[Kind, ...] = ("assistant", "call")


def _sequels(kind: Kind, way: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    # Where nobody has spoken yet, a template may want a user turn to be somewhere.
    opens = kind == "call" and "user" not in way
    return (*_SEQUELS[kind], ("tool", "user")) if opens else _SEQUELS[kind]


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
    late = _Talk("system", "user", "assistant", "system", "user", "assistant", "user", adrift=1)
    fronted = yield from ask({("after_front", "assistant", "system"): [late]})
    takes_late = "accepted" in fronted.values()
    after_front: dict[str, dict[Kind, Answer]] = {}
    front = yield from ask({run: [_Talk(*run.split(), "user")] for run in FRONTS}, "front")
    without_user = yield from ask(
        {
            "front": [_Talk("system")],
            "fronts": [_Talk("system", "system")],
            "assistant": [_Talk("assistant")],
            "opened": [_Talk("assistant", "user")],
        },
        "without_user",
    )
    if front["system"] != "accepted":
        del without_user["front"]
    if front["system system"] != "accepted":
        del without_user["fronts"]
    if without_user.pop("opened") != "accepted":
        del without_user["assistant"]
    follows: dict[str, dict[Kind, Answer]] = {}
    ends: dict[str, Answer] = {}
    front_ends: dict[str, Answer] = {}
    ways: dict[str, tuple[str, ...]] = {}
    for state in STATES:
        way = _way(state, front, follows, after_front)
        if way is None:
            # Nothing that was read leads here, so that nothing may be built on it.
            follows[state] = dict.fromkeys(KINDS, "refused")
            continue
        ways[state] = way
        follows[state] = yield from ask(
            {kind: [_on(way, kind, *sequel) for sequel in _sequels(kind, way)] for kind in KINDS},
            "follows",
            state,
        )
        others: list[Kind] = [kind for kind in FRONT_KINDS if follows[state][kind] != "accepted"]
        if takes_late and others and way[:1] not in ((), ("system",)):
            after_front[state] = yield from ask(
                {
                    kind: [_on(("system", *way), kind, *sequel) for sequel in _SEQUELS[kind]]
                    for kind in others
                },
                "after_front",
                state,
            )
        if state not in ("start", "front"):
            ends |= yield from ask({state: [_on(way)]}, "ends")
            if front["system"] == "accepted" and way[0] != "system":
                front_ends |= yield from ask({state: [_on(("system", *way))]}, "front_ends")
    if follows["start"]["tool"] == "accepted" != follows["assistant+tool"]["user"]:
        # No user turn could be added to one that stands alone.
        alone = yield from ask({("follows", "start", "tool"): [_Talk("tool")]})
        follows["start"]["tool"] = next(iter(alone.values()))
    ended = {"front": without_user["front"], **ends} if "front" in ways else ends
    after_fronts: dict[Kind, Answer] = {}
    if front["system system"] == "accepted" and "front" in ways:
        unread = [kind for kind in _SPEAKS if follows["front"][kind] != "accepted"]
        after_fronts = yield from ask(
            {
                kind: [_on(("system", "system"), kind, *sequel) for sequel in _SEQUELS[kind]]
                for kind in unread
            },
            "after_fronts",
        )
    nexts: dict[str, dict[str, Answer]] = {
        state: {**dict(follows[state].items()), **({"end": ended[state]} if state in ended else {})}
        for state in ways
    }
    passed = yield from _passed(ask, ways, front, nexts)
    gathered = yield from ask(
        {
            (kind, frame): [_Talk(*(kind if at == "*" else at for at in frame)).moved(kind)]
            for kind in FRONT_KINDS
            for frame in (("user", "*", "assistant", "user"), ("user", "assistant", "*", "user"))
        },
        "gathered",
    )
    reads_calls = follows.get("user", {}).get("call") == "accepted"
    reads_late = follows.get("user", {}).get("system") == "accepted"
    details = yield from ask(_details(reads_calls, reads_late, front))
    # Where several calls are taken at once, an id may be used up by standing among others.
    several = 2 if details.get("parallel_calls") == "accepted" else 1
    repeated = yield from ask({"repeated_call_ids": [_repeated(several)]} if reads_calls else {})
    return Rules(
        front=front,
        follows=follows,
        after_front=after_front,
        after_fronts=after_fronts,
        ends=ends,
        front_ends=front_ends,
        passed=passed,
        without_user=without_user,
        gathered=[
            kind
            for kind in FRONT_KINDS
            if all(answer == "accepted" for (asked, _), answer in gathered.items() if asked == kind)
        ],
        developer_then_system=details.pop("developer_then_system"),
        developer_before_last=(
            "not_read"
            if follows["user"]["developer"] == "accepted"
            else details["developer_before_last"]
        ),
        empty_developer=_worst(_group(details, "empty_developer")),
        parts=_group(details, "parts"),
        other_parts=details["other_parts"],
        reasoning=details["reasoning"],
        null=_group(details, "null"),
        blank=_group(details, "blank"),
        call_text=details.get("call_text", "accepted"),
        open_call_text=details.get("open_call_text", "accepted"),
        half_answered=details.get("half_answered", "accepted"),
        parallel_calls=details.get("parallel_calls", "accepted"),
        late_results=_worst(_group(details, "late_results")) if reads_calls else "not_read",
        stray_results=_group(details, "stray_results"),
        long_result_ids=details.get("long_result_ids", "accepted"),
        long_call_ids=details.get("long_call_ids", "accepted"),
        repeated_call_ids=repeated.get("repeated_call_ids", "accepted"),
        repeated_lone_ids=details.get("repeated_lone_ids", "accepted"),
    )


def _on(way: Sequence[str], *kinds: str) -> _Talk:
    """Go on from a way; the text of a system message at the front may be adrift."""
    return _Talk(*way, *kinds, adrift=int(way[:1] == ("system",)))


def _way(
    state: str,
    front: Mapping[str, Answer],
    follows: Mapping[str, Mapping[Kind, Answer]],
    after_front: Mapping[str, Mapping[Kind, Answer]],
) -> tuple[str, ...] | None:
    """Give the first way to a state on which every message is read."""
    if state == "front":
        return ("system",) if front["system"] == "accepted" else None
    for way in _WAYS[state]:
        here, read = "start", True
        rows = [follows, after_front] if way[:1] == ("system",) else [follows]
        for kind in way:
            read = read and any(row.get(here, {}).get(_kind(kind)) == "accepted" for row in rows)
            here = after(here, kind)
        if read:
            return way
    return None


def _passed(
    ask: _Asker,
    ways: Mapping[str, tuple[str, ...]],
    front: Mapping[str, Answer],
    nexts: Mapping[str, Mapping[str, Answer]],
) -> Generator[list[Question], list[Reading], dict[str, dict[Kind, str]]]:
    """Give the states to which empty messages lead of kinds that are not read.

    Args:
        ask: The oracle.
        ways: How a conversation gets to each state.
        front: What is read before the first turn.
        nexts: What may come next in each state, `end` among it.
    """
    unread: dict[str, list[Kind]] = {
        state: [
            kind
            for kind in ("tool", "system", "function")
            if nexts[state][kind] == "not_read"
            and not (state in ("start", "front") and kind in FRONT_KINDS)
        ]
        for state in ways
    }
    talks = {}
    for state, way in ways.items():
        # With a system message at the front, since some templates keep the last one, be it empty.
        if front["system"] == "accepted" and way[:1] not in ((), ("system",)):
            way = ("system", *way)
        for kind in unread[state]:
            for next_, sequel in _AFTER_PASSED.items():
                # An empty message may push system text away from the front.
                if next_ in nexts[state] and (next_ != "system" or state in ("start", "front")):
                    talk = _on(way).say(kind, "")
                    talks["passed", state, kind, next_] = [_add(talk, sequel)]
    answers = yield from ask(talks)
    passed: dict[str, dict[Kind, str]] = {}
    for state, kinds in unread.items():
        for kind in kinds:
            seen = {
                next_: answers["passed", state, kind, next_] == "accepted"
                for next_ in _AFTER_PASSED
                if ("passed", state, kind, next_) in answers
            }
            # A template that counts messages takes an empty one for a turn of the other side.
            for like in (state, "user", "assistant") if any(seen.values()) else ():
                known = nexts.get(like, {})
                if all((known.get(next_) == "accepted") == taken for next_, taken in seen.items()):
                    passed.setdefault(state, {})[kind] = like
                    break
    return passed


_AFTER_PASSED: dict[str, tuple[str, ...]] = {
    "end": (),
    "user": ("user",),
    "assistant": ("assistant", "user"),
    "system": ("system", "user", "assistant", "user"),
}


def _kind(kind: str) -> Kind:
    return next(known for known in KINDS if known == kind)


def _group(details: Mapping[Any, Answer], name: str) -> dict[str, Answer]:
    return {key[1]: answer for key, answer in details.items() if key[0] == name}


def _worst(answers: Mapping[str, Answer]) -> Answer:
    return min(answers.values(), key=_rank)


def _details(
    reads_calls: bool, reads_late: bool, front: Mapping[str, Answer]
) -> dict[Any, list[_Talk]]:
    asked: dict[Any, list[_Talk]] = {
        "developer_then_system": [
            _Talk("developer", "user", "system", "user"),
            _Talk("developer", "user", "assistant", "system", "user"),
        ],
    }
    asked["developer_before_last"] = [_Talk("user", "assistant", "developer", "user")]
    lead = ("system",) if front["system"] == "accepted" else ()
    ways: tuple[tuple[str, ...], ...] = (("user",), ("user", "assistant"))
    for way in ways:
        talk = _on((*lead, *way)).say("developer", "")
        asked["empty_developer", way[-1]] = [_add(talk, ("assistant", "user")[len(way) - 1 :])]
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
            "open_call_text": [_add(_Talk("user").call(1, text=True), ("tool",))],
            "parallel_calls": [_rounds(2)],
            "half_answered": [_half_answered()],
            ("stray_results", "call"): [_Talk("user", "call").answer("another00")],
            ("stray_results", "tool"): [_Talk("user", "call", "tool").answer("another00")],
            "repeated_lone_ids": [_repeated(1)],
            ("late_results", "user"): [_late_result("user")],
            ("late_results", "assistant"): [_late_result()],
            "long_call_ids": [_Talk("user").call(1, call_id="call_0123456789").add("tool")],
            "long_result_ids": [_Talk("user").answer("call_0123456789")],
        }
    for kind, (before, rest) in frames.items():
        asked["parts", kind] = [_add(_Talk(*before).parts(kind), rest)]
        asked["null", kind] = [_add(_Talk(*before).say(kind, None), rest)]
        asked["blank", kind] = [_add(_Talk(*before).say(kind, ""), rest)]
    asked["other_parts"] = [_add(_Talk("user").refuse(), ("user",))]
    asked["reasoning"] = [_add(_Talk("user").think(), ("user",))]
    if reads_late:
        talk = _Talk("user").say("system", None)
        asked["null", "late system"] = [_add(talk, ("user", "assistant", "user"))]
        talk = _Talk("user").say("system", "")
        asked["blank", "late system"] = [_add(talk, ("user", "assistant", "user"))]
        talk = _Talk("user").parts("system")
        asked["parts", "late system"] = [_add(talk, ("user", "assistant", "user"))]
    return asked


def _rounds(count: int) -> _Talk:
    talk = _Talk("user").call(count)
    for call in talk.messages[-1]["tool_calls"]:
        talk.answer(str(call["id"]))
    return talk


def _half_answered() -> _Talk:
    talk = _Talk("user").call(2)
    call = talk.messages[-1]["tool_calls"][0]
    return _add(talk.answer(str(call["id"])), ("assistant", "user"))


def _repeated(count: int) -> _Talk:
    talk = _rounds(count)
    seen = str(talk.messages[-1]["tool_call_id"])
    return _add(talk, ("assistant", "user")).call(1, call_id=seen).add("tool")


def _late_result(*before: str) -> _Talk:
    talk = _Talk("user", "call", "tool", "assistant", *before).answer("another00")
    return _add(talk, ("assistant", "user") if before else ("user",))


def _add(talk: _Talk, kinds: Sequence[str]) -> _Talk:
    for kind in kinds:
        talk.add(kind)
    return talk
