"""What of a conversation is in a prompt, message by message.

A text may occur more than once: "yes" may be said twice, and may stand in another text or in the
template's own words. So each text is searched behind the text before it. Of all such alignments
the one that finds most counts, and no place in the prompt counts for two texts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import takewhile
from typing import Any, Literal, NamedTuple

from ..messages.inert_mark import INERT_MARK
from ..messages.message import Message, call_arguments, call_name, texts, tool_calls
from ..profile.states import SYSTEM_KINDS

State = Literal["read", "moved", "lost"]
"""`read`: all of it is in the prompt, in order. `moved`: all of it, elsewhere. `lost`: not all."""


_END_OF_THOUGHT = "</think>"

_TAKEN = "\0"  # stands in a prompt where something was found

_MAX_ALIGNMENTS = 64  # bounds the time that a long chat of repeated words takes


class MessageReading(NamedTuple):
    """What becomes of one message.

    Attributes:
        state: The worst state of any of its texts.
        missing: The texts that are lost or moved.
        leading: Whether it is one of the system and developer messages at the beginning, which a
            template may show anywhere.
    """

    state: State
    missing: tuple[str, ...]
    leading: bool


def expected_texts(message: Message) -> Iterator[str]:
    """Yield the texts of a message as they have to be in a prompt.

    Blanks around a text are stripped, as templates may do. What a model thought before it answered
    is left out, as templates leave it out of later prompts on purpose.
    """
    for text in texts(message):
        if message["role"] == "assistant":
            text = text.rpartition(_END_OF_THOUGHT)[2]
        if text := text.strip():
            yield text


def read_in(prompt: str, messages: Sequence[Message]) -> list[MessageReading]:
    """Return what becomes of each message.

    It is about texts, the names of called tools and the texts in their arguments. Blanks do not
    count. Media leave no trace in a prompt.

    Args:
        prompt: The prompt.
        messages: The conversation as the client means it.
    """
    prompt = _plain(prompt)
    leading = sum(1 for _ in takewhile(lambda each: each["role"] in SYSTEM_KINDS, messages))
    steps = _steps(messages)
    pieces = [piece for step in steps for piece in step]
    found, moved = min(
        _possible_readings(prompt, steps, leading), key=lambda read: read.fault(pieces)
    )
    missing = [piece for piece in pieces if piece not in found]
    return [
        _reading([piece for piece in missing if piece.message == at], moved, at < leading)
        for at in range(len(messages))
    ]


class _Piece(NamedTuple):
    """One thing that a message says.

    Attributes:
        message: The position of the message.
        place: Which of the message's pieces it is; negative for those of tool calls.
        text: The text.
        late: Whether it is system text that does not stand at the beginning.
    """

    message: int
    place: int
    text: str
    late: bool = False


_Span = tuple[int, int]


_Found = dict[_Piece, _Span]


class _Read(NamedTuple):
    """A possible reading of a prompt.

    Attributes:
        found: The pieces that are in order.
        moved: The pieces that stand elsewhere.
    """

    found: _Found
    moved: _Found

    def fault(self, pieces: Iterable[_Piece]) -> tuple[int, int, int]:
        """Return how bad this reading is, to be compared.

        First come the lost characters, then the missing ones that are no late system text, which
        templates often move, then all missing ones.
        """
        missing = [piece for piece in pieces if piece not in self.found]
        lost = _size(piece for piece in missing if piece not in self.moved)
        return lost, _size(piece for piece in missing if not piece.late), _size(missing)


def _possible_readings(prompt: str, steps: Sequence[list[_Piece]], leading: int) -> Iterator[_Read]:
    """Yield possible readings, the likeliest first; one that finds all is the only one."""
    pieces = [piece for step in steps for piece in step]
    leading_system = [piece for piece in pieces if piece.message < leading]
    rest = [step for step in steps if step[0].message >= leading]
    turns = [step for step in rest if not step[0].late]
    first = _in_order(prompt, steps)
    if len(first) == len(pieces):
        yield _Read(first, {})
        return
    early = _anywhere(prompt, leading_system)
    for found in (
        first,
        _with_anywhere(prompt, _in_order(prompt, rest), leading_system),
        early | _in_order(_without(prompt, early.values()), rest),
        _with_anywhere(prompt, _in_order(prompt, turns), leading_system),
    ):
        missing = [piece for piece in pieces if piece not in found]
        yield _Read(found, _anywhere(_without(prompt, found.values()), missing))


def _with_anywhere(prompt: str, found: _Found, pieces: Iterable[_Piece]) -> _Found:
    return found | _anywhere(_without(prompt, found.values()), pieces)


def _reading(missing: Sequence[_Piece], moved: _Found, leading: bool) -> MessageReading:
    state: State = "read"
    if missing:
        state = "moved" if all(piece in moved for piece in missing) else "lost"
    return MessageReading(state, tuple(piece.text for piece in missing), leading)


def _steps(messages: Sequence[Message]) -> list[list[_Piece]]:
    """Return the pieces of all messages in steps, which have to be in order.

    A round of calls and results is one step, since a template may pair each call with its result.
    """
    steps: list[list[_Piece]] = []
    opening, in_round = True, False
    for at, message in enumerate(messages):
        opening = opening and message["role"] in SYSTEM_KINDS
        late = not opening and message["role"] in SYSTEM_KINDS
        pieces = [
            _Piece(at, place, text, late) for place, text in enumerate(expected_texts(message))
        ]
        in_round = in_round and message["role"] == "tool"
        if in_round:
            steps[-1] += pieces
        else:
            steps += [[piece] for piece in pieces]
        if calls := tool_calls(message):
            called = [text for call in calls for text in _called(call)]
            steps.append([_Piece(at, -1 - place, text) for place, text in enumerate(called)])
            in_round = True
    return steps


def _called(call: Mapping[str, Any]) -> Iterator[str]:
    yield call_name(call)
    arguments = call_arguments(call)
    try:
        read = json.loads(arguments)
    except ValueError:
        read = arguments  # vLLM drops what is no JSON, and its text is lost
    for text in _leaves(read):
        if text := text.strip():
            yield text


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _leaves(inner)


class Alignment(NamedTuple):
    """The places of the pieces of the first steps.

    Attributes:
        lost: How many characters are not found.
        end: Where the last found piece ends.
        found: The found pieces of the last step.
        before: The alignment of the steps before that.
    """

    lost: int
    end: int
    found: _Found
    before: Alignment | None


def _in_order(prompt: str, steps: Iterable[Sequence[_Piece]]) -> _Found:
    """Find as many characters as possible, each step behind the one before."""
    there = [[piece for piece in step if _find(prompt, piece.text, 0)] for step in steps]
    alignments = [Alignment(0, 0, {}, None)]
    for choosing in (False, True):
        for step in there:
            alignments = _best(
                longer for each in alignments for longer in _next(prompt, step, each, choosing)
            )
        if alignments[0].lost == 0 or choosing:
            break
        alignments = [Alignment(0, 0, {}, None)]  # a piece was found too far on: try without it
    found: _Found = {}
    alignment: Alignment | None = alignments[0]
    while alignment is not None:
        found |= alignment.found
        alignment = alignment.before
    return found


def _next(
    prompt: str, step: Sequence[_Piece], before: Alignment, choosing: bool
) -> Iterator[Alignment]:
    found = _anywhere(prompt, step, before.end)
    end = max((end for _, end in found.values()), default=before.end)
    size = _size(step)
    yield Alignment(before.lost + size - _size(found), end, found, before)
    if choosing and found:
        yield Alignment(before.lost + size, before.end, {}, before)


def _size(pieces: Iterable[_Piece]) -> int:
    """Return the number of characters: a long text is hardly ever found by chance."""
    return sum(len(piece.text) for piece in pieces)


def _best(alignments: Iterable[Alignment]) -> list[Alignment]:
    """Return the alignments for which no other one loses as little and ends as soon."""
    best: list[Alignment] = []
    for alignment in sorted(alignments, key=lambda each: (each.lost, each.end)):
        if not best or alignment.end < best[-1].end:
            best.append(alignment)
    return best[:_MAX_ALIGNMENTS]


def _anywhere(prompt: str, pieces: Iterable[_Piece], at: int = 0) -> _Found:
    """Find pieces in any order, none of them within another."""
    found: _Found = {}
    for piece in sorted(pieces, key=lambda piece: -len(piece.text)):
        span = _find(prompt, piece.text, at)
        while span and any(span[0] < end and start < span[1] for start, end in found.values()):
            span = _find(prompt, piece.text, span[0] + 1)
        if span:
            found[piece] = span
    return found


def _find(prompt: str, text: str, at: int) -> _Span | None:
    places = [(prompt.find(form, at), len(form)) for form in _forms(text)]
    return min(((at, at + size) for at, size in places if at >= 0), default=None)


@lru_cache(maxsize=4096)
def _forms(text: str) -> tuple[str, ...]:
    """Return the forms that a text may have in a prompt: templates write some texts as JSON."""
    forms = (
        text,
        json.dumps(text, ensure_ascii=False)[1:-1],
        json.dumps(text)[1:-1],
        repr(text)[1:-1],
    )
    return tuple(dict.fromkeys(map(_plain, forms)))


def _plain(text: str) -> str:
    return " ".join(text.replace(INERT_MARK, "").split())


def _without(prompt: str, spans: Iterable[_Span]) -> str:
    kept, at = [], 0
    for start, end in sorted(spans):
        kept += [prompt[at:start], _TAKEN * (end - start)]
        at = end
    return "".join([*kept, prompt[at:]])
