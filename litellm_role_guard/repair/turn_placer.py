"""Each message in the first form that the template takes where it stands."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from ..messages.message import Message, call_name, is_empty, tool_calls
from ..profile.states import SYSTEM_KINDS, Kind, after
from .content import _form, normalize_content
from .context import RepairContext, is_not_read, rejects_form
from .labelled_text import labelled_user, tool_calls_as_text
from .scan import ScanTable, scan
from .turn import Turn, as_role, join


def place_turns(turns: list[Turn], draft: RepairContext) -> list[Turn]:
    """Place each message after the others, in the first form that the template takes there."""
    placer = TurnPlacer(draft)
    placer.place_all(turns)
    return placer.turns


_ALWAYS_SAID = ("user", "assistant", "call")


class TurnPlacer:
    """The turns that were placed so far, and where the conversation stands after them.

    Args:
        draft: The rules, and the list of what was changed.
        messages: The conversation, where messages are taken over from it as they are.
    """

    def __init__(self, draft: RepairContext, messages: Sequence[Message] = ()) -> None:
        self.draft = draft
        self._messages = messages
        # Each a turn to be, of the messages that are joined in it; joined once, at the end, since
        # joining one by one would copy the text again for each. A number is that of a message
        # which was taken over as it is.
        self.groups: list[list[Turn] | int] = []
        self._states: list[str] = []  # before each run; empty where nobody has asked yet
        self.state = "start"
        self.at_front = True
        self._names: dict[object, str] = {}
        self._calls = 0
        self._open: Collection[object] = ()
        self._waiting: set[object] = set()
        self._has_transcript = False
        self._passage: ScanTable | None = None
        self._fronted = False

    @property
    def last(self) -> Turn | None:
        """The turn that was placed last, or the empty message after it that is passed over."""
        return self._group(-1)[0] if self.groups else None

    @property
    def turns(self) -> list[Turn]:
        """All that was placed, joined."""
        return [join(self._group(at), self.draft.separator) for at in range(len(self.groups))]

    def arranged(self) -> tuple[list[Message], list[Turn]]:
        """Give the messages of all that was placed, and the turns that are more than taken over."""
        messages: list[Message] = []
        turns: list[Turn] = []
        for run in self.groups:
            if isinstance(run, int):
                messages.append(self._messages[run])
            else:
                turns.append(join(run, self.draft.separator))
                messages.append(turns[-1].message)
        return messages, turns

    def closes(self) -> bool:
        """Tell at a glance that `close` has nothing to do."""
        table = ScanTable.of(self.draft.rules, has_leading_system=self._is_fronted())
        return table.states[self.state].closes and (
            self.state.startswith("user")
            or any(
                isinstance(run, int) and self._messages[run]["role"] == "user"
                for run in self.groups
            )
        )

    def _group(self, at: int) -> list[Turn]:
        run = self.groups[at]
        if isinstance(run, int):
            run = self.groups[at] = [Turn.of(self._messages[run], run)]
        return run

    def place_all(self, turns: Iterable[Turn]) -> None:
        """Place turns one after the other."""
        for turn in turns:
            self.at_front = self.at_front and turn.kind in SYSTEM_KINDS
            self.place(turn)

    def scan(self, ahead: Iterator[Message], called: list[Message]) -> tuple[Message | None, str]:
        """Pass over messages that may be taken over as they are.

        Args:
            ahead: The messages.
            called: Where those with tool calls and results are put.

        Returns:
            The message that has to be placed, None at the end, and where the conversation stands
            before it.
        """
        has_leading_system = self._is_fronted()
        if self._passage is None or has_leading_system is not self._fronted:
            self._fronted, self._passage = (
                has_leading_system,
                ScanTable.of(self.draft.rules, has_leading_system=has_leading_system),
            )
        table = self._passage
        stop, place = scan(ahead, table.states[self.state], table, called, self._open)
        return stop, place.state

    def take_over(self, begin: int, end: int, state: str, called: Sequence[Message]) -> None:
        """Put messages of the conversation as they are, after the system text at the front.

        Args:
            begin: The position of the first.
            end: The position after the last.
            state: Where the conversation stands after them.
            called: Those of them with tool calls or results.
        """
        if begin == end:
            return
        self.groups.extend(range(begin, end))
        self._states.append(self.state)
        self._states.extend(itertools.repeat("", end - begin - 1))
        self.state = state
        if not called:
            self._open = ()
            return
        for message in called:
            names = _call_names(message)
            self._names.update(names)
            self._calls += bool(names)
        results = end
        while results > begin and self._messages[results - 1]["role"] == "tool":
            results -= 1
        if results > begin:
            self._set_open(self._messages[results - 1])
        for at in range(results, end):
            self._waiting.discard(self._messages[at].get("tool_call_id"))

    def _set_open(self, message: Message) -> None:
        self._open = {call.get("id") for call in tool_calls(message)}
        self._waiting = set(self._open)

    def place(self, turn: Turn) -> None:
        """Place a message: as it is, joined to the last one, re-roled, or as text."""
        ignored_empty = self.draft.rules.ignored_empty
        if turn.ignored_empty or (ignored_empty and not self.at_front and self._is_passed(turn)):
            self.put(turn._replace(ignored_empty=True))
            return
        fitting = (
            turn
            if turn.merged_by_server
            else normalize_content(turn, self.draft, late=not self.at_front)
        )
        if fitting is None:
            return
        turn = fitting
        if turn.kind == "call":
            self._names.update(_call_names(turn.message))
        if self.at_front:
            self.put(turn)  # as `gather_front` left it
        elif self._is_awaited(turn) or (self._may_follow(turn.kind) and not self._is_stray(turn)):
            self.put(turn)
        elif turn.kind not in _ALWAYS_SAID and is_empty(turn.message):
            self.draft.note("content", turn, "an empty message that the template does not take")
        else:
            self._make_fit(turn)

    def _make_fit(self, turn: Turn) -> None:
        """Place a message that may not stand where it does."""
        last = self.last
        while last is not None and last.ignored_empty:
            self._pop()  # it says nothing, and would stand between what belongs together now
            last = self.last
        if last is not None and last.kind == turn.kind not in ("call", "tool"):
            if turn.kind == "user" and self._has_transcript and not turn.labelled:
                turn = labelled_user(turn, "User message")
            self._group(-1).append(turn)
        else:
            self._PLACES.get(turn.kind, TurnPlacer.put)(self, turn)

    def _may_follow(self, kind: Kind) -> bool:
        if (
            self.state == "leading_system"
            and self.draft.rules.follows_with_several_systems.get(kind) == "accepted"
        ):
            placed = (self._group(at)[0] for at in range(len(self.groups)))
            fronts = [turn for turn in placed if not turn.ignored_empty]
            if len(fronts) > 1 and all(turn.kind == "system" for turn in fronts):
                return True
        if kind == "tool" and self._calls and self.state in ("user", "assistant"):
            return self.draft.rules.late_results == "accepted" or self.draft.rules.may_follow(
                self.state, kind
            )
        return self.draft.rules.may_follow(self.state, kind, has_leading_system=self._is_fronted())

    def _is_fronted(self) -> bool:
        first = self.groups[0] if self.groups else 0
        return not isinstance(first, int) and first[0].kind in SYSTEM_KINDS

    def _is_awaited(self, turn: Turn) -> bool:
        """Tell whether it is a further result for several calls of one message."""
        return (
            turn.kind == "tool"
            and self.state.endswith("+tool")
            and bool(self._open)
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
        if turn.kind not in self.draft.rules.ignored_empty.get(self.state, ()):
            return False
        has_content = turn.message.get("content") not in (None, [])
        return is_empty(turn.message) and (
            has_content or not rejects_form(self.draft.rules.null, _form(turn, late=True))
        )

    def put(self, turn: Turn) -> None:
        """Add a turn as it is."""
        if turn.kind == "tool":
            self._waiting.discard(turn.message.get("tool_call_id"))
        elif turn.kind == "call":
            self._set_open(turn.message)
            self._calls += 1
        elif not turn.ignored_empty:
            self._open = ()
        self._states.append(self.state)
        self.groups.append([turn])
        self.state = self.draft.rules.after(self.state, turn.kind, ignored_empty=turn.ignored_empty)

    def _pop(self) -> Turn:
        if not self._states[-1]:
            self._find_states()
        self.state = self._states.pop()
        last = self._group(-1)
        self._calls -= last[0].kind == "call"
        self.groups.pop()
        return join(last, self.draft.separator)

    def _find_states(self) -> None:
        """Find out where the conversation stood before each of the messages taken over last."""
        at = len(self._states) - 1
        while not self._states[at]:
            at -= 1
        while at + 1 < len(self._states):
            turn = self._group(at)[0]
            self._states[at + 1] = self.draft.rules.after(self._states[at], turn.kind)
            at += 1

    def _place_user(self, turn: Turn) -> None:
        rules, last = self.draft.rules, self.last
        if last is not None and last.kind == "call":
            self._unsay_call()
            self.place(turn)
        elif self._bridges("assistant", "user"):
            if last is None or last.kind != "tool" or not is_not_read(rules.blank, "assistant"):
                self.put(self.draft.filler("assistant", turn))
                self.put(turn)
            else:  # words that the assistant never said are worse than a boundary within a turn
                labelled = turn if turn.labelled else labelled_user(turn, "User message")
                self._group(-1).append(labelled)
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
        if self.state in ("start", "leading_system") and self._bridges("user", "call"):
            self.put(self.draft.filler("user", turn))
            self.put(turn)
        else:
            self.draft.note("tools", turn, "the template does not read a tool call there")
            self.place(tool_calls_as_text(turn, self.draft))

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
        self.place(tool_calls_as_text(call, self.draft))

    _PLACES: Mapping[str, Callable[[TurnPlacer, Turn], None]] = {
        "user": _place_user,
        "assistant": _place_assistant,
        "call": _place_call,
        "tool": _place_tool,
        "function": _place_function,
        "developer": _place_developer,
        "system": _place_system,
    }


def _call_names(message: Message) -> dict[object, str]:
    return {call.get("id"): call_name(call) for call in tool_calls(message)}
