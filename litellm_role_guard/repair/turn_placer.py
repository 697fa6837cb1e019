"""Each message in the first form that the template takes where it stands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping

from ..messages.message import call_name, has_media, is_empty, tool_calls
from ..profile.states import BEFORE_TURNS, SYSTEM_KINDS, Kind, after
from .billing_line import without_billing_line
from .change import Change
from .content import NOTHING, content_form, is_passed_over, normalize_content
from .context import RepairContext, StepResult
from .hidden_media import is_hidden_first, media_as_user, without_media
from .labelled_text import (
    labelled_user,
    message_label,
    message_words,
    told_apart,
    tool_calls_as_text,
)
from .policy import is_rejected
from .turn import Turn, as_role, join


def place_turns(turns: list[Turn], context: RepairContext) -> StepResult:
    """Place each message after the others, in the first form that the template takes there."""
    placer = TurnPlacer(context)
    placer.place_all(turns)
    return StepResult(placer.turns, placer.changes)


_ALWAYS_SAID = ("user", "assistant", "call")
_PLAIN = ("user", "assistant")
_NO_RESULT = "the template does not read a tool result there"


class TurnPlacer:
    """The turns that were placed so far, and where the conversation stands after them.

    Args:
        context: What the steps go by.

    Attributes:
        changes: What was changed so far.
        state: Where the conversation stands.
        at_front: Whether only system and developer messages were placed so far.
    """

    def __init__(self, context: RepairContext) -> None:
        self._context = context
        self._policy = context.policy
        self._form = context.label_form
        self.changes: list[Change] = []
        # Each a turn to be, of the messages that are joined in it; joined once, at the end, since
        # joining one by one would copy the text again for each.
        self._groups: list[list[Turn]] = []
        self._states: list[str] = []  # before each group
        self.state = "start"
        self.at_front = True
        self._names: dict[object, str] = {}  # of the tools, by the ids of the calls so far
        self._calls = 0
        self._open: Collection[object] = ()  # the ids of the last message's calls
        self._waiting: Counter[object] = Counter()  # those of them that have no result yet
        self._written: set[object] = set()  # the ids of the calls that are written out as text
        self._has_transcript = False
        self._media: list[Turn] = []  # of what was placed, not placed yet
        self._media_wait_for: tuple[str, ...] = ()  # kinds that come before them

    @property
    def turns(self) -> list[Turn]:
        """All that was placed, joined."""
        return [join(group, self._context.separator) for group in self._groups]

    @property
    def last(self) -> Turn | None:
        """The turn that was placed last, or an ignored empty message after it."""
        return self._groups[-1][0] if self._groups else None

    def place_all(self, turns: Iterable[Turn]) -> None:
        """Place turns one after the other."""
        for turn in turns:
            if self._media and turn.kind not in self._media_wait_for:
                self._place_media()
            self.at_front = self.at_front and turn.kind in SYSTEM_KINDS
            if not self._put_plain(turn):
                self.place(turn)
        self._place_media()

    def place(self, turn: Turn) -> None:
        """Place a message: as it is, joined to the last one, re-roled, or as text."""
        if turn.ignored_empty or (
            not self.at_front and is_passed_over(turn, self._policy, self.state)
        ):
            self._pass_over(turn._replace(ignored_empty=True))
            return
        if not turn.merged_by_server:
            fitting, changes = normalize_content(turn, self._context, late=not self.at_front)
            self.changes += changes
            if fitting is None and turn.message.get("tool_call_id") in self._open:
                # Without it, the next result would pass for that of its call.
                fitting = turn._replace(message={**turn.message, "content": NOTHING})
            if fitting is None:
                return
            turn = fitting
        self._note_calls(turn)
        # At the front stands what `merge_leading_system` has left.
        if self.at_front or (
            not self._is_of_written_call(turn) and (self._is_awaited(turn) or self._fits(turn))
        ):
            self._put_shown(turn)
        elif turn.kind not in _ALWAYS_SAID and is_empty(turn.message):
            self._leave_out(turn)
        else:
            self._make_fit(turn)

    def put(self, turn: Turn) -> None:
        """Add a turn as it is."""
        if turn.kind == "tool":
            self._waiting[turn.message.get("tool_call_id")] -= 1
        elif turn.kind == "call":
            self._waiting = Counter(call.get("id") for call in tool_calls(turn.message))
            self._open = set(self._waiting)
            self._calls += 1
        elif not turn.ignored_empty:
            self._open = ()
        self._states.append(self.state)
        self._groups.append([turn])
        self.state = self._policy.after(self.state, turn.kind, ignored_empty=turn.ignored_empty)

    def _put_shown(self, turn: Turn) -> None:
        """Add a turn, but for media of which the template would show nothing."""
        form = "assistant" if turn.kind == "call" else content_form(turn, late=not self.at_front)
        if is_hidden_first(turn, self._policy) and not self._has_first_turn():
            self._put_filler("user", turn)
            self.place(turn)
            return
        if form not in self._policy.hides_media or not has_media(turn.message):
            self.put(turn)
            return
        self._note("content", turn, f"the template shows no media of a {form} message")
        shown = f"Media of {self._words(turn).lower()}"
        self._media.append(media_as_user(turn, self._form.label(shown, self._name(turn))))
        text = without_media(turn)
        if text is not None:
            # Results stand together behind their calls, and system messages at the front.
            self._media_wait_for = SYSTEM_KINDS if self.at_front else ("tool",)
            self.put(text)

    def _has_first_turn(self) -> bool:
        """Return whether something stands in the first turn; it may be the last system message."""
        is_taken = self._policy.taken_after_systems and self._is_behind_several_systems()
        return self.state not in BEFORE_TURNS or bool(is_taken)

    def _place_media(self) -> None:
        """Have the user show the media that wait for their place."""
        waiting, self._media = self._media, []
        for turn in waiting:
            self.at_front = False
            self.place(turn)

    def _label(self, turn: Turn) -> str:
        return self._form.label(self._words(turn), self._name(turn))

    def _words(self, turn: Turn) -> str:
        if turn.kind in ("tool", "function"):
            return f"{turn.kind.capitalize()} result"
        return message_words(turn)

    def _name(self, turn: Turn) -> str:
        name, call_id = self._form.clean(turn.message.get("name")), turn.message.get("tool_call_id")
        if turn.kind == "tool" and (call_id in self._written or not name):
            name = self._names.get(call_id) or name
        return name

    def _put_plain(self, turn: Turn) -> bool:
        """Put a turn of plain text where the scan would pass over it, as over most; say whether."""
        message = turn.message
        if self.at_front or turn.kind not in _PLAIN or len(message) != 2 or turn.written_calls:
            return False
        content = message.get("content")
        if type(content) is not str or not content or self._would_run_on(turn):
            return False
        table = self._policy.scan_tables[self._has_leading_system]
        following = table.states[self.state].get(turn.kind)
        if following is None:
            return False
        self._open = ()
        self._states.append(self.state)
        self._groups.append([turn])
        self.state = following.state
        return True

    @property
    def _has_leading_system(self) -> bool:
        return bool(self._groups) and self._groups[0][0].kind in SYSTEM_KINDS

    def _pop(self) -> Turn:
        self.state = self._states.pop()
        group = self._groups.pop()
        self._calls -= group[0].kind == "call"
        return join(group, self._context.separator)

    def _note(self, what: str, turn: Turn, why: str) -> None:
        self.changes.append(turn.change(what, why))

    def _pass_over(self, turn: Turn) -> None:
        """Add an empty turn that the template ignores, unless it takes none there."""
        policy, form = self._policy, content_form(turn, late=True)
        if turn.message.get("content") in (None, []) and is_rejected(policy.rejects_null, form):
            self._note("content", turn, "the template wants a string where the content is null")
            turn = turn._replace(message={**turn.message, "content": ""})
        refuses = turn.kind == "system" and self.state in policy.refuses_late_system
        (self._leave_out if refuses else self.put)(turn)

    def _leave_out(self, turn: Turn) -> None:
        self._note("content", turn, "an empty message that the template does not take")

    def _note_calls(self, turn: Turn) -> None:
        if turn.kind == "call":
            calls = tool_calls(turn.message)
            names = {call.get("id"): self._form.clean(call_name(call)) for call in calls}
            self._names.update(names)
            self._written.difference_update(names)
        elif turn.written_calls:
            self._names.update(turn.written_calls)
            self._written.update(turn.written_calls)

    def _is_of_written_call(self, turn: Turn) -> bool:
        """Return whether it is the result of a call in words: a round is one thing."""
        return turn.kind == "tool" and turn.message.get("tool_call_id") in self._written

    def _fits(self, turn: Turn) -> bool:
        if self._may_follow(turn.kind):
            return not self._is_stray(turn) and not self._would_run_on(turn)
        # No words of the assistant's can pass for the user's where there are none.
        passes = turn.kind == "assistant" and self.state in self._policy.assistant_as_user
        return passes and is_empty(turn.message)

    def _may_follow(self, kind: Kind) -> bool:
        policy = self._policy
        if kind in policy.taken_after_systems and self._is_behind_several_systems():
            return True
        if kind == "tool" and self._calls and self.state in ("user", "assistant"):
            return policy.late_results or policy.may_follow(self.state, kind)
        return policy.may_follow(self.state, kind, has_leading_system=self._has_leading_system)

    def _is_behind_several_systems(self) -> bool:
        if self.state != "leading_system":
            return False
        placed = [group[0] for group in self._groups if not group[0].ignored_empty]
        return len(placed) > 1 and all(turn.kind == "system" for turn in placed)

    def _is_awaited(self, turn: Turn) -> bool:
        """Return whether it is a further result for several calls of one message."""
        return (
            turn.kind == "tool"
            and self.state.endswith("+tool")
            and bool(self._open)
            and self._waiting[turn.message.get("tool_call_id")] > 0
            and not self._policy.single_calls
        )

    def _is_stray(self, turn: Turn) -> bool:
        """Return whether it is a result that the template does not take for want of a call."""
        before = self.state.rpartition("+")[2]
        if turn.kind != "tool" or before not in ("call", "tool"):
            return False
        answer = self._policy.stray_results.get(before)
        if answer is None or turn.message.get("tool_call_id") in self._open:
            return False
        # Of an empty one that is taken and not read, nothing is lost.
        return answer == "refused" or not is_empty(turn.message)

    def _would_run_on(self, turn: Turn) -> bool:
        """Return whether no boundary would stand beside a label: texts are printed alone."""
        alone = "user" in self._policy.assistant_as_user and turn.kind == self.state == "user"
        return alone and (turn.labelled or self._groups[-1][-1].ends_labelled)

    def _make_fit(self, turn: Turn) -> None:
        """Place a message that may not stand where it does."""
        last = self.last
        while last is not None and last.ignored_empty:
            self._pop()  # it says nothing, and would stand between what belongs together now
            last = self.last
        if last is not None and last.kind == turn.kind not in ("call", "tool"):
            hides = self._states[-1] in BEFORE_TURNS and is_hidden_first(turn, self._policy)
            if hides and self._bridges("assistant", turn.kind):
                self._fill("assistant", turn)
                return
            if turn.kind == "user" and self._has_transcript:
                turn = self._as_labelled(turn)
            self._append(turn)
        else:
            self._PLACES.get(turn.kind, TurnPlacer.put)(self, turn)

    def _append(self, turn: Turn) -> None:
        """Join a turn to the last one."""
        group = self._groups[-1]
        if group[-1].kind == turn.kind:
            turn = told_apart(group[-1], turn, self._form)
        group.append(turn)

    def _place_user(self, turn: Turn) -> None:
        last = self.last
        if last is not None and last.kind == "call":
            self._write_last_call()
            self.place(turn)
        elif self._bridges("assistant", "user"):
            if last is None or last.kind != "tool" or not self._policy.fillers["assistant"]:
                self._fill("assistant", turn)
            else:  # words that the assistant never said are worse than a boundary within a turn
                self._append(self._as_labelled(turn))
        elif last is not None and last.kind != "user":
            self._transcribe(self._pop())
            self.place(turn)
        else:
            self.put(turn)

    def _place_assistant(self, turn: Turn) -> None:
        if self.last is not None and self.last.kind == "call":
            self._write_last_call()
            self.place(turn)
        elif self._bridges("user", "assistant"):
            self._fill("user", turn)
        else:
            self._transcribe(turn)

    def _place_call(self, turn: Turn) -> None:
        if self.state in BEFORE_TURNS and self._bridges("user", "call"):
            self._fill("user", turn)
        else:
            self._note("tools", turn, "the template does not read a tool call there")
            self.place(tool_calls_as_text(turn, self._context))

    def _place_tool(self, turn: Turn) -> None:
        is_written = self._is_of_written_call(turn)
        why = "its call is written out as text" if is_written else _NO_RESULT
        self._note("tools", turn, why)
        self.place(labelled_user(turn, self._label(turn)))

    def _place_function(self, turn: Turn) -> None:
        self._note("function", turn, "the template does not read a function message there")
        self.place(labelled_user(turn, self._label(turn)))

    def _place_developer(self, turn: Turn) -> None:
        if self._may_follow("system"):
            self._note("developer", turn, "the template reads no developer message there")
            self.place(as_role(turn, "system"))
        else:
            self._place_late_system(turn)

    def _place_late_system(self, turn: Turn) -> None:
        # In place and as the user's: at the front it would hold for turns that it came after, and
        # the backend would compute the whole prompt again.
        self._note(turn.kind, turn, f"the template reads no {turn.kind} message there")
        turn = without_billing_line(turn)
        self.place(labelled_user(turn, self._form.label(message_words(turn))))

    def _bridges(self, filler: Kind, kind: Kind) -> bool:
        """Return whether a turn of the filler's kind makes room for the other one."""
        policy = self._policy
        return policy.may_follow(self.state, filler) and policy.may_follow(
            after(self.state, filler), kind
        )

    def _fill(self, kind: Kind, turn: Turn) -> None:
        """Put a turn behind an invented one."""
        self._put_filler(kind, turn)
        self._put_shown(turn)

    def _put_filler(self, kind: Kind, turn: Turn) -> None:
        filler, change = self._context.filler(kind, turn)
        self.changes.append(change)
        self.put(filler)

    def _transcribe(self, turn: Turn) -> None:
        """Write a turn as text of the user's: the last resort, which every template can show."""
        self._note("transcript", turn, f"the template reads no {turn.kind} turn there")
        self.place(labelled_user(turn, message_label(turn, self._form)))
        self._has_transcript = True

    def _write_last_call(self) -> None:
        """Write out the last call: it has no result, and the template wants one."""
        call = self._pop()
        self._note("tools", call, "the template wants a result after each tool call")
        self.place(tool_calls_as_text(call, self._context))

    def _as_labelled(self, turn: Turn) -> Turn:
        return turn if turn.labelled else labelled_user(turn, message_label(turn, self._form))

    _PLACES: Mapping[str, Callable[[TurnPlacer, Turn], None]] = {
        "user": _place_user,
        "assistant": _place_assistant,
        "call": _place_call,
        "tool": _place_tool,
        "function": _place_function,
        "developer": _place_developer,
        "system": _place_late_system,
    }
