"""`repair(messages, profile)`: change a conversation only where its template would not read it.

The chain, from the least invasive step to the most:

    gather_front      system and developer text before the first turn
    settle_calls      tool calls that cannot be shown as they are
    arrange_turns     what may not stand where it does: content whose form is in the way, then
                      messages that are joined, re-roled or written as text
    close             what may not be the end

Every step decides on a message by what stands before it, so that a conversation that grows keeps
its rendered beginning, and with it the backend's prefix cache.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from .conversation import (
    Message,
    call_arguments,
    call_name,
    content_parts,
    has_media,
    is_empty,
    part_text,
    plain_text,
    tool_calls,
)
from .profile import STATES, Kind, Rules, TemplateProfile, after

SEPARATOR = "\n\n"
"""What stands between joined texts; Mistral's own reference code joins with a blank line, too."""


class Change(NamedTuple):
    """One thing that a repair did.

    Attributes:
        what: `merged`, `system`, `developer`, `function`, `tools`, `content` or `filled`.
        messages: The positions of the input messages concerned, counted from 0.
        why: The reason, in words that hold no message text.
    """

    what: str
    messages: tuple[int, ...]
    why: str


class Repair(NamedTuple):
    """A conversation that its template takes and reads, and how it came to be.

    Attributes:
        messages: The very list that was given where nothing was in the way.
        changes: What was done; empty where nothing was.
    """

    messages: Sequence[Message]
    changes: tuple[Change, ...]


def repair(
    messages: Sequence[Message],
    profile: TemplateProfile,
    *,
    tools: Sequence[Mapping[str, Any]] | None = None,
    separator: str = SEPARATOR,
    placeholder: str = "",
    prefill: bool = False,
) -> Repair:
    """Give a conversation that the template reads whole; the one given where it does already.

    Args:
        messages: A conversation in which `find_fault` finds none. It is not changed.
        profile: What the template accepts and drops.
        tools: The request's tool definitions; templates may judge otherwise when there are some.
        separator: What stands between two joined texts.
        placeholder: The text of a turn that has to be invented. Empty: an empty turn, or "..."
            where the template takes no empty one.
        prefill: Whether the last message is the opening of the reply, to be left alone.
    """
    rules = profile.rules(tools=bool(tools))
    draft = Draft(rules, separator, placeholder, prefill)
    turns = [Turn(_kind(message), message, (index,)) for index, message in enumerate(messages)]
    if any(is_empty(message) for message in messages):
        # What is empty can hardly be in the way; look before anything is done about it.
        lenient = replace(draft, lenient=True)
        if not _repaired(_afloat(turns) if _is_gathered_whole(turns, rules) else turns, lenient)[1]:
            return Repair(messages, ())
    repaired, changes = _repaired(turns, replace(draft, changes=[]))
    if not changes:
        return Repair(messages, ())
    return Repair([turn.message for turn in repaired], changes)


def _repaired(turns: list[Turn], draft: Draft) -> tuple[list[Turn], tuple[Change, ...]]:
    opening = None
    if draft.prefill and turns and turns[-1].message["role"] == "assistant":
        turns, opening = turns[:-1], turns[-1]
    for step in STEPS:
        turns = step(turns, draft)
    if opening is not None:
        turns = [*turns, opening]
    joins = [
        Change("merged", turn.origins, "two turns in a row that the template does not take")
        for turn in turns
        if len(turn.origins) > 1
    ]
    return turns, (*draft.changes, *joins)


@dataclass(frozen=True)
class Turn:
    """A message on its way to the backend.

    Attributes:
        kind: What it is to the template.
        message: The message, the input's own object as long as it is unchanged.
        origins: The positions of the input messages that are in it.
        labelled: Whether its text begins with a label that tells who said it.
        afloat: Whether it is shown elsewhere than where it stands, and in nobody's way.
    """

    kind: Kind
    message: Message
    origins: tuple[int, ...]
    labelled: bool = False
    afloat: bool = False


@dataclass
class Draft:
    """What the steps share: the rules and settings, and the list of what was changed.

    Attributes:
        lenient: Whether empty messages may stand where the template skips them.
    """

    rules: Rules
    separator: str
    placeholder: str
    prefill: bool
    lenient: bool = False
    changes: list[Change] = field(default_factory=list)

    def note(self, what: str, turn: Turn, why: str) -> None:
        """Add to the list of changes."""
        self.changes.append(Change(what, turn.origins, why))

    def filler(self, kind: Kind, where: Turn) -> Turn:
        """Invent a turn of this kind, next to another one."""
        takes_empty = self.rules.blank.get(kind, "accepted") == "accepted"
        text = self.placeholder or ("" if takes_empty else "...")
        self.note("filled", where, f"the template needs a {kind} turn here")
        return Turn(kind, {"role": kind, "content": text}, ())


# --------------------------------------------------------------------- afloat

_FRONT_KINDS = ("system", "developer")


def _is_gathered_whole(turns: Sequence[Turn], rules: Rules) -> bool:
    """Tell whether all system text that is moved to the front has nothing said before it.

    Then it may as well stand where it does: empty messages are all that it is moved across.
    """
    at_front = [turn for turn in turns if turn.kind in _FRONT_KINDS]
    gathers = "developer" if any(turn.kind == "developer" for turn in at_front) else "system"
    if gathers not in rules.gathered or all(
        turn.kind in _FRONT_KINDS for turn in turns[: len(at_front)]
    ):
        return False
    said = False
    for turn in turns:
        if turn.kind not in _FRONT_KINDS:
            said = said or not is_empty(turn.message)
        elif is_empty(turn.message):
            # Where the last system text counts, an empty one would take the place of the others.
            if gathers == "system" and _said(rules.front, "system empty"):
                return False
        elif said:
            return False
    return True


def _afloat(turns: Sequence[Turn]) -> list[Turn]:
    return [replace(turn, afloat=turn.kind in _FRONT_KINDS) for turn in turns]


# ---------------------------------------------------------------- gather_front


def gather_front(turns: list[Turn], draft: Draft) -> list[Turn]:
    """Bring the system and developer messages before the first turn into a form that is read."""
    end = 0
    while end < len(turns) and turns[end].kind in _FRONT_KINDS:
        end += 1
    if end == 0 or turns[0].afloat:
        return turns
    run, rest = turns[:end], turns[end:]
    answers = draft.rules.front
    # A backend that folds developer messages into the system message moves every later system
    # message to the front along with them.
    moves_later = draft.rules.developer_then_system != "accepted" and any(
        turn.kind in ("system", "developer") for turn in rest
    )
    native = []
    for turn in run:
        if turn.kind == "developer" and (moves_later or _said(answers, "developer")):
            draft.note("developer", turn, "the template reads no developer message there")
            turn = _as_role(turn, "system")
        native.append(turn)
    if _said(answers, "system") and any(turn.kind == "system" for turn in native):
        return [*(_front_as_user(turn, draft) for turn in native), *rest]
    texts = list(native)
    if all(turn.kind == "system" for turn in native) and not _said(answers, "system empty"):
        while len(texts) > 1 and is_empty(texts[-1].message):
            texts.pop()
    pairs = {" ".join(pair) for pair in itertools.pairwise(turn.kind for turn in texts)}
    if any("developer" in pair for pair in pairs):
        pairs.discard("system system")  # one developer message decides how all are taken
    folded = moves_later and any(turn.kind == "developer" for turn in run)
    if folded or any(_said(answers, pair) for pair in pairs):
        native = [join(native, draft.separator)]
    return [*_media_as_user(native, draft), *rest]


def _media_as_user(front: Sequence[Turn], draft: Draft) -> Iterator[Turn]:
    """Let the user say what holds an image where the template reads one text only."""
    moved = False
    for turn in front:
        unread = _said(draft.rules.parts, turn.kind) and has_media(turn.message)
        moved = moved or unread  # and all that comes after it, to keep the order
        yield _front_as_user(turn, draft) if moved else turn


def _front_as_user(turn: Turn, draft: Draft) -> Turn:
    # Unlabelled, as the templates that do take a system message for such models write it.
    if turn.kind != "user":
        draft.note(turn.kind, turn, f"the template reads no {turn.kind} message")
    return _as_role(turn, "user")


def _said(answers: Mapping[str, str], shape: str) -> bool:
    """Whether the template was asked about this shape and does not read it."""
    return answers.get(shape, "accepted") != "accepted"


# ---------------------------------------------------------------- settle_calls

_NINE = re.compile(r"[A-Za-z0-9]{9}")


def settle_calls(turns: list[Turn], draft: Draft) -> list[Turn]:
    """Bring tool calls into a form that is read, or write them out as text."""
    settled = turns
    if any(turn.kind == "call" or "function_call" in turn.message for turn in turns):
        settled = list(_written_calls(turns, draft))
    if not draft.rules.may_follow("user", "call"):
        return settled
    if draft.rules.long_call_ids != "accepted":
        settled = [_with_short_ids(turn, draft) for turn in settled]
    if draft.rules.repeated_call_ids != "accepted":
        settled = list(_unrepeated_ids(settled, draft))
    if draft.rules.parallel_calls != "accepted":
        settled = list(_one_call_each(settled, draft))
    if draft.rules.call_text != "accepted":
        settled = list(_text_apart(settled, draft))
    return settled


def _written_calls(turns: Sequence[Turn], draft: Draft) -> Iterator[Turn]:
    """Write out the calls that no template is shown: vLLM drops malformed arguments."""
    for turn in turns:
        if turn.message.get("function_call") and turn.message["role"] == "assistant":
            draft.note("tools", turn, "vLLM does not show `function_call` to the template")
            yield _write_out(turn, draft)
        elif not all(_well_formed(call) for call in tool_calls(turn.message)):
            draft.note("tools", turn, "vLLM drops tool arguments that are no JSON object")
            yield _write_out(turn, draft)
        else:
            yield turn


def _well_formed(call: Mapping[str, Any]) -> bool:
    function = call.get("function")
    if call.get("type", "function") != "function" or not isinstance(function, Mapping):
        return False
    arguments = function.get("arguments")
    if not arguments or isinstance(arguments, Mapping):
        return isinstance(function.get("name"), str)
    try:
        return isinstance(json.loads(arguments), dict)
    except (TypeError, ValueError):
        return False


def _with_short_ids(turn: Turn, draft: Draft) -> Turn:
    message = dict(turn.message)
    if turn.kind == "call":
        message["tool_calls"] = [
            {**call, "id": _short_id(call.get("id"))} for call in tool_calls(turn.message)
        ]
    elif turn.kind == "tool":
        message["tool_call_id"] = _short_id(message.get("tool_call_id"))
    if message == turn.message:
        return turn
    draft.note("tools", turn, "the template wants tool call ids of 9 letters and digits")
    return replace(turn, message=message)


def _short_id(call_id: object) -> str:
    """A call id of 9 letters and digits: the given one, or one that always follows from it."""
    text = str(call_id)
    return text if _NINE.fullmatch(text) else hashlib.sha256(text.encode()).hexdigest()[:9]


def _unrepeated_ids(turns: Sequence[Turn], draft: Draft) -> Iterator[Turn]:
    """Give an id that was used before a new one, for the call and its results alike."""
    used: set[str] = set()
    answered: set[str] = set()
    now: dict[str, str] = {}

    def unused(call_id: str) -> str:
        while call_id in used:
            call_id = hashlib.sha256(call_id.encode()).hexdigest()[:9]
        used.add(call_id)
        return call_id

    for turn in turns:
        message = dict(turn.message)
        if turn.kind == "call":
            calls = []
            for call in tool_calls(turn.message):
                given = str(call.get("id"))
                now[given] = unused(given)
                calls.append(call if now[given] == given else {**call, "id": now[given]})
            message["tool_calls"] = calls
        elif turn.kind == "tool":
            given = str(message.get("tool_call_id"))
            if given not in now or now[given] in answered:
                now[given] = unused(given)
            answered.add(now[given])
            if now[given] != given:
                message["tool_call_id"] = now[given]
        if message == turn.message:
            yield turn
        else:
            draft.note("tools", turn, "the template reads the same tool call id only once")
            yield replace(turn, message=message)


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
        for position, call in enumerate(calls):
            content = turn.message.get("content") if position == 0 else None
            message = {**turn.message, "content": content, "tool_calls": [call]}
            yield replace(turn, message=message)
            yield from results.pop(str(call.get("id")), ())
        yield from itertools.chain.from_iterable(results.values())


def _text_apart(turns: Sequence[Turn], draft: Draft) -> Iterator[Turn]:
    """Put the text beside a tool call into a turn of its own, before the call."""
    for turn in turns:
        if turn.kind == "call" and plain_text(turn.message).strip():
            draft.note("tools", turn, "the template does not read text beside a tool call")
            text = {key: value for key, value in turn.message.items() if key != "tool_calls"}
            yield Turn("assistant", text, turn.origins)
            yield replace(turn, message={**turn.message, "content": None})
        else:
            yield turn


# --------------------------------------------------------------------- content


def settled(turn: Turn, draft: Draft) -> Turn | None:
    """Bring content that is in parts, null or empty into a form that the template takes.

    None where it takes no empty message at all, and there is nothing in this one to be lost.
    """
    if turn.message.get("refusal") and turn.message["role"] == "assistant":
        draft.note("content", turn, "vLLM does not show `refusal` to the template")
        turn = _with_refusal_said(turn, draft)
    content = turn.message.get("content")
    if isinstance(content, str) and content:
        return turn
    if turn.kind == "call":
        return turn
    rules = draft.rules
    if content and not isinstance(content, str):
        if len(content) > 1 and _said(rules.parts, turn.kind) and not has_media(turn.message):
            draft.note("content", turn, "the template does not read all parts of the content")
            return replace(turn, message={**turn.message, "content": plain_text(turn.message)})
        return turn
    if content == "":
        if _takes_no(rules.blank, turn.kind):
            draft.note("content", turn, "the template takes no empty message")
            return None
    elif _takes_no(rules.null, turn.kind):
        if _takes_no(rules.blank, turn.kind):
            draft.note("content", turn, "the template takes no message without content")
            return None
        draft.note("content", turn, "the template wants a string where the content is null")
        return replace(turn, message={**turn.message, "content": ""})
    return turn


def _with_refusal_said(turn: Turn, draft: Draft) -> Turn:
    message = {key: value for key, value in turn.message.items() if key != "refusal"}
    contents = [message.get("content"), turn.message["refusal"]]
    return replace(turn, message={**message, "content": _join_contents(contents, draft.separator)})


def _takes_no(answers: Mapping[str, str], kind: Kind) -> bool:
    # What holds for a user message holds for the kinds that were not asked about.
    return answers.get(kind, answers.get("user", "accepted")) != "accepted"


# --------------------------------------------------------------- arrange_turns


def arrange_turns(turns: list[Turn], draft: Draft) -> list[Turn]:
    """Place each message after the others, in the first form that the template takes there."""
    arrangement = Arrangement(draft)
    for turn in turns:
        arrangement.at_front = arrangement.at_front and turn.kind in ("system", "developer")
        arrangement.place(turn)
    return arrangement.turns


_ALWAYS_SAID = ("user", "assistant", "call")
_UNDER_WAY = tuple(state for state in STATES if state not in ("start", "front"))


class Arrangement:
    """The turns that were placed so far, and where the conversation stands after them."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        # Each a turn to be, of the messages that are joined in it; joined once, at the end, since
        # joining one by one would copy the text again for each.
        self.runs: list[list[Turn]] = []
        self._states: list[str] = []
        self.state = "start"
        self.at_front = True
        self._names: dict[object, str] = {}
        self._open: set[object] = set()
        self._has_transcript = False

    @property
    def last(self) -> Turn | None:
        """The turn that was placed last."""
        return self.runs[-1][0] if self.runs else None

    @property
    def turns(self) -> list[Turn]:
        """All that was placed, joined."""
        return [join(run, self.draft.separator) for run in self.runs]

    def place(self, turn: Turn) -> None:
        """Place a message: as it is, joined to the last one, re-roled, or as text."""
        fitting = settled(turn, self.draft)
        if fitting is None:
            return
        turn = fitting
        for call in tool_calls(turn.message):
            self._names[call.get("id")] = call_name(call)
        if turn.afloat:
            self._append(turn)
            self.state = "front" if self.state == "start" else self.state
        elif self.at_front:
            self.put(turn)  # as `gather_front` left it
        elif self.draft.rules.may_follow(self.state, turn.kind) and not self._is_stray(turn):
            self.put(turn)
        elif self._is_skipped(turn):
            self._append(replace(turn, afloat=True))
        elif is_empty(turn.message) and turn.kind not in _ALWAYS_SAID and self.state in _UNDER_WAY:
            self.draft.note("content", turn, "an empty message that the template does not take")
        elif (
            self.last is not None and self.last.kind == turn.kind != "tool" and turn.kind != "call"
        ):
            if turn.kind == "user" and self._has_transcript and not turn.labelled:
                turn = _labelled(turn, "User message")
            self.runs[-1].append(turn)
        else:
            self._PLACES.get(turn.kind, Arrangement.put)(self, turn)

    def _is_stray(self, turn: Turn) -> bool:
        return (
            turn.kind == "tool"
            and self.state.endswith(("+call", "+tool"))
            and self.draft.rules.stray_results != "accepted"
            and turn.message.get("tool_call_id") not in self._open
        )

    def _is_skipped(self, turn: Turn) -> bool:
        skipped = self.draft.rules.skipped.get(self.state, ())
        return self.draft.lenient and turn.kind in skipped and is_empty(turn.message)

    def put(self, turn: Turn) -> None:
        """Add a turn as it is."""
        if turn.kind != "tool":
            self._open = {call.get("id") for call in tool_calls(turn.message)}
        self._append(turn)
        self.state = after(self.state, turn.kind)

    def _append(self, turn: Turn) -> None:
        self._states.append(self.state)
        self.runs.append([turn])

    def _pop(self) -> Turn:
        self.state = self._states.pop()
        return join(self.runs.pop(), self.draft.separator)

    def _place_user(self, turn: Turn) -> None:
        rules, last = self.draft.rules, self.last
        if last is not None and last.kind == "call":
            self._unsay_call()
            self.place(turn)
        elif self._bridges("assistant", "user"):
            if last is None or last.kind != "tool" or not _said(rules.blank, "assistant"):
                self.put(self.draft.filler("assistant", turn))
                self.put(turn)
            else:  # words that the assistant never said are worse than a boundary within a turn
                labelled = turn if turn.labelled else _labelled(turn, "User message")
                self.runs[-1].append(labelled)
        elif last is not None and last.kind != "user":
            self._transcribe_last()
            self.place(turn)
        else:
            self.put(turn)

    def _place_assistant(self, turn: Turn) -> None:
        if self.last is not None and self.last.kind == "call":
            self._unsay_call()
            self.place(turn)
        elif self._bridges("user", "assistant"):
            self.put(self.draft.filler("user", turn))
            self.put(turn)
        else:
            self._transcribe(turn)

    def _place_call(self, turn: Turn) -> None:
        if self.state in ("start", "front") and self._bridges("user", "call"):
            self.put(self.draft.filler("user", turn))
            self.put(turn)
        else:
            self.draft.note("tools", turn, "the template does not read a tool call there")
            self.place(_write_out(turn, self.draft))

    def _place_tool(self, turn: Turn) -> None:
        name = turn.message.get("name") or self._names.get(turn.message.get("tool_call_id"))
        label = f"Tool result: {name}" if name else "Tool result"
        self.draft.note("tools", turn, "the template does not read a tool result there")
        self.place(_labelled(turn, label))

    def _place_function(self, turn: Turn) -> None:
        name = turn.message.get("name")
        label = f"Function result: {name}" if name else "Function result"
        self.draft.note("function", turn, "the template does not read a function message there")
        self.place(_labelled(turn, label))

    def _place_developer(self, turn: Turn) -> None:
        if self.draft.rules.may_follow(self.state, "system"):
            self.draft.note("developer", turn, "the template reads no developer message there")
            self.place(_as_role(turn, "system"))
        else:
            self._place_late(turn, "Developer message")

    def _place_system(self, turn: Turn) -> None:
        self._place_late(turn, "System message")

    def _place_late(self, turn: Turn, label: str) -> None:
        # In place and as the user's: at the front it would hold for turns that it came after, and
        # the backend would compute the whole prompt again.
        self.draft.note(turn.kind, turn, f"the template reads no {turn.kind} message there")
        self.place(_labelled(turn, label))

    def _bridges(self, filler: Kind, kind: Kind) -> bool:
        """Whether a turn of the filler's kind makes room for the other one."""
        rules = self.draft.rules
        return rules.may_follow(self.state, filler) and rules.may_follow(
            after(self.state, filler), kind
        )

    def _transcribe(self, turn: Turn) -> None:
        """Write a turn as text of the user's: the last resort, which every template can show."""
        self.draft.note("transcript", turn, f"the template reads no {turn.kind} turn there")
        label = f"{turn.kind.capitalize()} message"
        self.place(_labelled(turn, label))
        self._has_transcript = True

    def _transcribe_last(self) -> None:
        self._transcribe(self._pop())

    def _unsay_call(self) -> None:
        """Write out the last call: it has no result, and the template wants one."""
        call = self._pop()
        self.draft.note("tools", call, "the template wants a result after each tool call")
        self.place(_write_out(call, self.draft))

    _PLACES: Mapping[str, Callable[[Arrangement, Turn], None]] = {
        "user": _place_user,
        "assistant": _place_assistant,
        "call": _place_call,
        "tool": _place_tool,
        "function": _place_function,
        "developer": _place_developer,
        "system": _place_system,
    }


# ----------------------------------------------------------------------- close


def close(turns: list[Turn], draft: Draft) -> list[Turn]:
    """See to it that a reply may be asked for after what stands last."""
    if draft.prefill or not turns:
        return turns
    rules, state = draft.rules, _state(turns)
    lacks_user = all(turn.kind != "user" for turn in turns) and _said(
        rules.without_user, "front" if state == "front" else "assistant"
    )
    if (lacks_user or not rules.may_end(state)) and rules.may_follow(state, "user"):
        turns = [*turns, draft.filler("user", turns[-1])]
        state = "user"
    has_front = turns[0].kind in ("system", "developer")
    if has_front and _said(rules.front_ends, state) and rules.may_end(state):
        return _without_front(turns, draft)
    return turns


def _without_front(turns: Sequence[Turn], draft: Draft) -> list[Turn]:
    """Say what the system messages at the front say in the first user turn instead."""
    kept: list[Turn] = []
    for turn in turns:
        opening = all(earlier.kind == "user" for earlier in kept)
        if opening and turn.kind in ("system", "developer"):
            turn = _front_as_user(turn, draft)
        if opening and kept and turn.kind == "user":
            kept[-1] = join([kept[-1], turn], draft.separator)
        else:
            kept.append(turn)
    return kept


def _state(turns: Sequence[Turn]) -> str:
    state = "start"
    for turn in turns:
        if not turn.afloat:
            state = after(state, turn.kind)
    return state


STEPS: tuple[Callable[[list[Turn], Draft], list[Turn]], ...] = (
    gather_front,
    settle_calls,
    arrange_turns,
    close,
)


# ------------------------------------------------------------------- messages


def _kind(message: Message) -> Kind:
    kind: Kind = "call" if tool_calls(message) else message["role"]
    return kind


def _as_role(turn: Turn, role: Kind) -> Turn:
    return Turn(role, {**turn.message, "role": role}, turn.origins)


def _labelled(turn: Turn, label: str) -> Turn:
    """Make a user turn of a message, with a label that tells who said it before its text."""
    message = {
        key: value
        for key, value in turn.message.items()
        if key not in ("tool_call_id", "tool_calls", "function_call", "name", "tools")
    }
    content = _join_contents([f"[{label}]", turn.message.get("content")], "\n")
    return Turn("user", {**message, "role": "user", "content": content}, turn.origins, True)


def _write_out(turn: Turn, draft: Draft) -> Turn:
    """Write an assistant's tool calls as text of the same turn."""
    message = {
        key: value
        for key, value in turn.message.items()
        if key not in ("tool_calls", "function_call")
    }
    calls = list(tool_calls(turn.message))
    legacy = turn.message.get("function_call")
    if isinstance(legacy, Mapping):
        calls.append({"function": legacy})
    content = message.get("content")
    for call in calls:
        shown = f"[Tool call: {call_name(call)}]\n{call_arguments(call)}".rstrip()
        content = _join_contents([content, shown], draft.separator)
    return Turn("assistant", {**message, "content": content}, turn.origins)


def join(turns: Sequence[Turn], separator: str) -> Turn:
    """Join turns into one of the first one's kind; parts stay parts."""
    first = turns[0]
    if len(turns) == 1:
        return first
    message = dict(first.message)
    message["content"] = _join_contents([turn.message.get("content") for turn in turns], separator)
    for key in ("reasoning", "reasoning_content", "refusal"):
        texts = [turn.message[key] for turn in turns if turn.message.get(key)]
        if texts:
            message[key] = separator.join(texts)
    if len({turn.message.get("name") for turn in turns}) > 1:
        message.pop("name", None)  # or one would be given what another said
    origins = tuple(dict.fromkeys(at for turn in turns for at in turn.origins))
    return replace(first, message=message, origins=origins)


def _join_contents(contents: Sequence[Any], separator: str) -> Any:
    """Join contents with a boundary between the texts that meet."""
    said = [content for content in contents if content]
    if len(said) < 2:
        return said[0] if said else ""
    if all(isinstance(content, str) for content in said):
        return separator.join(said)
    parts: list[Any] = []
    meeting: list[Any] = []  # text parts of different messages that have nothing between them

    def close_meeting() -> None:
        if len(meeting) > 1:
            text = separator.join(part_text(part) or "" for part in meeting)
            parts.append({"type": "text", "text": text})
        else:
            parts.extend(_part(part) for part in meeting)
        meeting.clear()

    for content in said:
        for position, part in enumerate(content_parts({"content": content})):
            if position > 0 or part_text(part) is None:
                close_meeting()
            if part_text(part) is None:
                parts.append(part)
            else:
                meeting.append(part)
    close_meeting()
    return parts


def _part(part: Any) -> Any:
    return {"type": "text", "text": part} if isinstance(part, str) else part
