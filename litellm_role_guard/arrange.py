"""Each message in the first form that the template takes where it stands."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from .conversation import call_name, has_media, is_empty, part_text, plain_text, tool_calls
from .front import front_as_user
from .profile import FRONT_KINDS, Kind, after
from .turns import (
    REASONING,
    Draft,
    Turn,
    as_role,
    join,
    join_contents,
    labelled_user,
    state_after,
    unread,
    written_out,
)


def arrange_turns(turns: list[Turn], draft: Draft) -> list[Turn]:
    """Place each message after the others, in the first form that the template takes there."""
    arrangement = Arrangement(draft)
    for turn in turns:
        arrangement.at_front = arrangement.at_front and turn.kind in FRONT_KINDS
        arrangement.place(turn)
    return arrangement.turns


_ALWAYS_SAID = ("user", "assistant", "call")


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
        self._calls = 0
        self._open: set[object] = set()
        self._waiting: set[object] = set()
        self._has_transcript = False

    @property
    def last(self) -> Turn | None:
        """The turn that was placed last, or the empty message after it that is passed over."""
        return self.runs[-1][0] if self.runs else None

    @property
    def turns(self) -> list[Turn]:
        """All that was placed, joined."""
        return [join(run, self.draft.separator) for run in self.runs]

    def place(self, turn: Turn) -> None:
        """Place a message: as it is, joined to the last one, re-roled, or as text."""
        if turn.passed or (not self.at_front and self._is_passed(turn)):
            self.put(replace(turn, passed=True))
            return
        fitting = turn if turn.folded else settled(turn, self.draft, late=not self.at_front)
        if fitting is None:
            return
        turn = fitting
        for call in tool_calls(turn.message):
            self._names[call.get("id")] = call_name(call)
        if self.at_front:
            self.put(turn)  # as `gather_front` left it
        elif self._is_awaited(turn) or (self._may_follow(turn.kind) and not self._is_stray(turn)):
            self.put(turn)
        elif is_empty(turn.message) and turn.kind not in _ALWAYS_SAID:
            self.draft.note("content", turn, "an empty message that the template does not take")
        else:
            self._make_fit(turn)

    def _make_fit(self, turn: Turn) -> None:
        """Place a message that may not stand where it does."""
        while self.runs and self.runs[-1][0].passed:
            self._pop()  # it says nothing, and would stand between what belongs together now
        if self.last is not None and self.last.kind == turn.kind != "tool" and turn.kind != "call":
            if turn.kind == "user" and self._has_transcript and not turn.labelled:
                turn = labelled_user(turn, "User message")
            self.runs[-1].append(turn)
        else:
            self._PLACES.get(turn.kind, Arrangement.put)(self, turn)

    def _may_follow(self, kind: Kind) -> bool:
        fronted = bool(self.runs) and self.runs[0][0].kind in FRONT_KINDS
        if self.state == "front" and self.draft.rules.after_fronts.get(kind) == "accepted":
            fronts = [run[0] for run in self.runs if not run[0].passed]
            if len(fronts) > 1 and all(turn.kind == "system" for turn in fronts):
                return True
        if kind == "tool" and self._calls and self.state in ("user", "assistant"):
            return self.draft.rules.late_results == "accepted" or self.draft.rules.may_follow(
                self.state, kind
            )
        return self.draft.rules.may_follow(self.state, kind, fronted=fronted)

    def _is_awaited(self, turn: Turn) -> bool:
        """Tell whether it is a further result for several calls of one message."""
        return (
            turn.kind == "tool"
            and self.state.endswith("+tool")
            and turn.message.get("tool_call_id") in self._waiting
            and self.draft.rules.parallel_calls == "accepted"
        )

    def _is_stray(self, turn: Turn) -> bool:
        place = self.state.rpartition("+")[2]
        if turn.kind != "tool" or place not in ("call", "tool"):
            return False
        answer = self.draft.rules.stray_results.get(place, "accepted")
        if answer == "accepted" or turn.message.get("tool_call_id") in self._open:
            return False
        # Of an empty one that is taken and not read, nothing is lost.
        return answer == "refused" or not is_empty(turn.message)

    def _is_passed(self, turn: Turn) -> bool:
        if turn.kind not in self.draft.rules.passed.get(self.state, ()):
            return False
        has_content = turn.message.get("content") not in (None, [])
        return is_empty(turn.message) and (
            has_content or not _takes_no(self.draft.rules.null, _form(turn, late=True))
        )

    def put(self, turn: Turn) -> None:
        """Add a turn as it is."""
        if turn.kind == "tool":
            self._waiting.discard(turn.message.get("tool_call_id"))
        elif not turn.passed:
            self._open = {call.get("id") for call in tool_calls(turn.message)}
            self._waiting = set(self._open)
        self._calls += turn.kind == "call"
        self._states.append(self.state)
        self.runs.append([turn])
        self.state = self.draft.rules.after(self.state, turn.kind, passed=turn.passed)

    def _pop(self) -> Turn:
        self.state = self._states.pop()
        self._calls -= self.runs[-1][0].kind == "call"
        return join(self.runs.pop(), self.draft.separator)

    def _place_user(self, turn: Turn) -> None:
        rules, last = self.draft.rules, self.last
        if last is not None and last.kind == "call":
            self._unsay_call()
            self.place(turn)
        elif self._bridges("assistant", "user"):
            if last is None or last.kind != "tool" or not unread(rules.blank, "assistant"):
                self.put(self.draft.filler("assistant", turn))
                self.put(turn)
            else:  # words that the assistant never said are worse than a boundary within a turn
                labelled = turn if turn.labelled else labelled_user(turn, "User message")
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
            self.place(written_out(turn, self.draft))

    def _place_tool(self, turn: Turn) -> None:
        name = turn.message.get("name") or self._names.get(turn.message.get("tool_call_id"))
        label = f"Tool result: {name}" if name else "Tool result"
        self.draft.note("tools", turn, "the template does not read a tool result there")
        self.place(labelled_user(turn, label))

    def _place_function(self, turn: Turn) -> None:
        name = turn.message.get("name")
        label = f"Function result: {name}" if name else "Function result"
        self.draft.note("function", turn, "the template does not read a function message there")
        self.place(labelled_user(turn, label))

    def _place_developer(self, turn: Turn) -> None:
        if self._may_follow("system"):
            self.draft.note("developer", turn, "the template reads no developer message there")
            self.place(as_role(turn, "system"))
        else:
            self._place_late(turn, "Developer message")

    def _place_system(self, turn: Turn) -> None:
        self._place_late(turn, "System message")

    def _place_late(self, turn: Turn, label: str) -> None:
        # In place and as the user's: at the front it would hold for turns that it came after, and
        # the backend would compute the whole prompt again.
        self.draft.note(turn.kind, turn, f"the template reads no {turn.kind} message there")
        self.place(labelled_user(turn, label))

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
        self.place(labelled_user(turn, label))
        self._has_transcript = True

    def _transcribe_last(self) -> None:
        self._transcribe(self._pop())

    def _unsay_call(self) -> None:
        """Write out the last call: it has no result, and the template wants one."""
        call = self._pop()
        self.draft.note("tools", call, "the template wants a result after each tool call")
        self.place(written_out(call, self.draft))

    _PLACES: Mapping[str, Callable[[Arrangement, Turn], None]] = {
        "user": _place_user,
        "assistant": _place_assistant,
        "call": _place_call,
        "tool": _place_tool,
        "function": _place_function,
        "developer": _place_developer,
        "system": _place_system,
    }


def settled(turn: Turn, draft: Draft, *, late: bool) -> Turn | None:
    """Bring content that is in parts, null or empty into a form that the template takes.

    None where it takes no empty message at all, and there is nothing in this one to be lost.
    """
    if turn.message.get("refusal") and turn.message["role"] == "assistant":
        draft.note("content", turn, "vLLM does not show `refusal` to the template")
        turn = _with_refusal_said(turn, draft)
    rules = draft.rules
    if rules.reasoning != "accepted" and any(turn.message.get(key) for key in REASONING):
        draft.note("content", turn, "the template takes no reasoning of earlier turns")
        kept = {key: value for key, value in turn.message.items() if key not in REASONING}
        turn = replace(turn, message=kept)
    content = turn.message.get("content")
    if isinstance(content, str) and content:
        return turn
    if content and rules.other_parts != "accepted" and any(map(_is_other_text, content)):
        draft.note("content", turn, "the template takes text in parts of type text only")
        content = [
            {"type": "text", "text": part_text(part)} if _is_other_text(part) else part
            for part in content
        ]
        turn = replace(turn, message={**turn.message, "content": content})
    if turn.kind == "call":
        return turn
    form = _form(turn, late=late)
    if content and not isinstance(content, str):
        if len(content) > 1 and _takes_no(rules.parts, form) and not has_media(turn.message):
            draft.note("content", turn, "the template does not read all parts of the content")
            return replace(turn, message={**turn.message, "content": plain_text(turn.message)})
        return turn
    if content == "":
        if _takes_no(rules.blank, form):
            draft.note("content", turn, "the template takes no empty message")
            return None
    elif _takes_no(rules.null, form):
        if _takes_no(rules.blank, form):
            draft.note("content", turn, "the template takes no message without content")
            return None
        draft.note("content", turn, "the template wants a string where the content is null")
        return replace(turn, message={**turn.message, "content": ""})
    return turn


def _is_other_text(part: object) -> bool:
    return part_text(part) is not None and isinstance(part, Mapping) and part["type"] != "text"


def _with_refusal_said(turn: Turn, draft: Draft) -> Turn:
    message = {key: value for key, value in turn.message.items() if key != "refusal"}
    contents = [message.get("content"), turn.message["refusal"]]
    return replace(turn, message={**message, "content": join_contents(contents, draft.separator)})


def _form(turn: Turn, *, late: bool) -> str:
    return "late system" if late and turn.kind == "system" else turn.kind


def _takes_no(answers: Mapping[str, str], form: str) -> bool:
    # What holds for a user message holds for the kinds that were not asked about.
    known = form if form in answers else form.removeprefix("late ")
    return answers.get(known, answers.get("user", "accepted")) != "accepted"


def close(turns: list[Turn], draft: Draft) -> list[Turn]:
    """See to it that a reply may be asked for after what stands last."""
    if draft.prefill or not turns:
        return turns
    rules = draft.rules
    state = state_after(turns, rules)
    if (
        turns[-1].kind == "call"
        and not rules.may_end(state)
        and not rules.may_follow(state, "user")
    ):
        draft.note("tools", turns[-1], "the template wants a result after each tool call")
        turns = arrange_turns([*turns[:-1], written_out(turns[-1], draft)], draft)
        state = state_after(turns, rules)
    opening = "assistant"
    if state == "front":
        fronts = [turn for turn in turns if not turn.passed]
        several = len(fronts) > 1 and all(turn.kind == "system" for turn in fronts)
        opening = "fronts" if several and "fronts" in rules.without_user else "front"
    lacks_user = all(turn.kind != "user" for turn in turns) and unread(rules.without_user, opening)
    if (lacks_user or not rules.may_end(state)) and rules.may_follow(state, "user"):
        turns = [*turns, draft.filler("user", turns[-1])]
        state = "user"
    has_front = turns[0].kind in FRONT_KINDS and any(
        turn.kind in FRONT_KINDS and not is_empty(turn.message) for turn in turns
    )
    if has_front and unread(rules.front_ends, state) and rules.may_end(state):
        return _without_front(turns, draft)
    return turns


def _without_front(turns: Sequence[Turn], draft: Draft) -> list[Turn]:
    """Say what the system messages at the front say in the first user turn instead."""
    end = sum(1 for _ in itertools.takewhile(lambda turn: turn.kind in FRONT_KINDS, turns))
    opening = [front_as_user(turn, draft) for turn in turns[:end]]
    # Whatever stands behind it stands behind a user turn now.
    rest = [replace(turn, passed=False) for turn in turns[end:]]
    return arrange_turns([*opening, *rest], draft)
