"""Which questions a course is about to put, found out by going through it with guesses.

A course builds questions on earlier answers, and so has a hundred batches, each of which would be a
trip to a live oracle. Here it is gone through from its beginning, with a guess for each answer that
is not there yet, and what it asks on the way is put to the oracle together. With the answers it is
gone through once more, until nothing is guessed any more: some six trips. A guess that is wrong
costs questions that nobody needed, one in twenty on real templates, and never changes an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

from ..messages.message import Message
from ..profile.template_profile import TemplateProfile
from .plan import probe_plan
from .probe import Probe, Rendering, form_of, marks_in

AT_ONCE = 32
"""How many questions are put together, about. The more there are, the more are guessed in vain; the
fewer, the more trips it takes."""


_Key = TypeVar("_Key", bound=Hashable)


class PlanProgress(NamedTuple, Generic[_Key]):
    """How far a course has come.

    Attributes:
        unknown: What to ask next, by its key; nothing when the course is over.
        answered: What was asked so far, with the answers, in the order of the course.
        profile: What the course came to; None before it is over.
    """

    unknown: dict[_Key, Probe]
    answered: list[tuple[Probe, Rendering]]
    profile: TemplateProfile | None


def speculate(
    renderings: Mapping[_Key, Rendering], key: Callable[[Probe], _Key], *, tools: bool = True
) -> PlanProgress[_Key]:
    """Go through a course as far as what is known and guessed leads.

    Args:
        renderings: What is known, by the question's key.
        key: Gives the key of a question, the same for questions that have the same answer.
        tools: Whether to ask with tool definitions as well, where they matter.
    """
    unknown: dict[_Key, Probe] = {}
    answered: list[tuple[Probe, Rendering]] = []
    seen = _Seen()
    plan = probe_plan(tools=tools)
    try:
        batch = next(plan)
        while len(unknown) < AT_ONCE:
            given: list[Rendering] = []
            for probe in batch:
                at = key(probe)
                if at in renderings:
                    answered.append((probe, renderings[at]))
                    seen.note(probe, renderings[at])
                    given.append(renderings[at])
                else:
                    unknown[at] = probe
                    given.append(_guess(probe, renderings, key, seen))
            batch = plan.send(given)
    except StopIteration as over:
        return PlanProgress(unknown, answered, None if unknown else over.value)
    return PlanProgress(unknown, answered, None)


def _guess(
    probe: Probe,
    renderings: Mapping[_Key, Rendering],
    key: Callable[[Probe], _Key],
    seen: _Seen,
) -> Rendering:
    """Guess that tool definitions change nothing, and else by what was seen."""
    at = key(probe._replace(tools=False)) if probe.tools else None
    return renderings[at] if at is not None and at in renderings else seen.guess(probe)


class _Seen:
    """What became of each message right after another, of all questions that were answered."""

    def __init__(self) -> None:
        self._read: set[_Pair] = set()
        self._dropped: set[_Pair] = set()
        self._refused: set[_Pair] = set()

    def note(self, probe: Probe, rendering: Rendering) -> None:
        """Note an answer."""
        for pair, marks in _pairs(probe):
            if rendering is None:
                self._refused.add(pair)
            elif all(mark in rendering for mark in marks):
                self._read.add(pair)
            else:
                self._dropped.add(pair)

    def guess(self, probe: Probe) -> Rendering:
        """Return what may be read of a question: all of which nothing else is known."""
        unread: list[str] = []
        for pair, marks in _pairs(probe):
            if pair in self._read:
                continue
            if pair in self._dropped:
                unread += marks
            elif pair in self._refused:
                return None
        return " ".join(mark for mark in probe.marks if mark not in unread)


_Pair = tuple[Any, Any]
"""The forms of a message and of the one before it; None at both ends of a conversation."""


def _pairs(probe: Probe) -> Iterator[tuple[_Pair, list[str]]]:
    """Yield the pairs of a conversation, each with the marks of its second message."""
    before = None
    for message in probe.messages:
        form = form_of(message)
        yield (before, form), _marks(message)
        before = form
    yield (before, None), []


def _marks(message: Message) -> list[str]:
    content = message.get("content")
    if isinstance(content, str) and "tool_calls" not in message:
        return [content] if content else []
    return marks_in(repr(message))
