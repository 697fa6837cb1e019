"""Running the plan ahead on guesses, so that a live oracle gets many probes at once.

The plan builds probes on earlier answers, and so has a hundred batches. Each would be a trip to a
live oracle. Here the plan runs from its beginning with a guess for each rendering that is not known
yet, and the unknown probes on the way go to the oracle together. Then it runs again, until nothing
is guessed any more: some six trips. A wrong guess costs superfluous probes, one in twenty on real
templates, and never changes an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ..messages.message import Message
from ..profile.template_profile import TemplateProfile
from .plan import probe_plan
from .probe import Probe, Rendering, form_of, marks_in

AT_ONCE = 32
"""About how many probes go to the oracle together. More of them means more wrong guesses; fewer
means more trips."""


_Key = TypeVar("_Key", bound=Hashable)


@dataclass(frozen=True)
class PlanProgress(Generic[_Key]):
    """How far a plan has come.

    Attributes:
        unknown: The probes to render next, by key; empty when the plan is over.
        answered: The probes so far with their renderings, in the order of the plan.
        profile: The result of the plan; None before it is over.
    """

    unknown: dict[_Key, Probe]
    answered: list[tuple[Probe, Rendering]]
    profile: TemplateProfile | None


def speculate(
    renderings: Mapping[_Key, Rendering], key: Callable[[Probe], _Key], *, tools: bool = True
) -> PlanProgress[_Key]:
    """Run the plan on known and guessed renderings until there are enough unknown probes.

    Args:
        renderings: The known renderings, by key.
        key: Returns the key of a probe, the same for probes with the same rendering.
        tools: Whether to probe with tool definitions as well, if they matter.
    """
    unknown: dict[_Key, Probe] = {}
    answered: list[tuple[Probe, Rendering]] = []
    seen = _Seen()
    plan = probe_plan(tools=tools)
    try:
        batch = next(plan)
        while len(unknown) < AT_ONCE:
            sent: list[Rendering] = []
            for probe in batch:
                at = key(probe)
                if at in renderings:
                    answered.append((probe, renderings[at]))
                    seen.note(probe, renderings[at])
                    sent.append(renderings[at])
                else:
                    unknown[at] = probe
                    sent.append(_guess(probe, renderings, key, seen))
            batch = plan.send(sent)
    except StopIteration as over:
        return PlanProgress(unknown, answered, None if unknown else over.value)
    return PlanProgress(unknown, answered, None)


def _guess(
    probe: Probe,
    renderings: Mapping[_Key, Rendering],
    key: Callable[[Probe], _Key],
    seen: _Seen,
) -> Rendering:
    """Guess that tool definitions change nothing; otherwise guess from what was seen."""
    at = key(probe._replace(tools=False)) if probe.tools else None
    return renderings[at] if at is not None and at in renderings else seen.guess(probe)


class _Seen:
    """What became of each pair of neighbouring messages in the probes that were rendered."""

    def __init__(self) -> None:
        self._read: set[_Pair] = set()
        self._dropped: set[_Pair] = set()
        self._refused: set[_Pair] = set()

    def note(self, probe: Probe, rendering: Rendering) -> None:
        """Record a rendering."""
        for pair, marks in _pairs(probe):
            if rendering is None:
                self._refused.add(pair)
            elif all(mark in rendering for mark in marks):
                self._read.add(pair)
            else:
                self._dropped.add(pair)

    def guess(self, probe: Probe) -> Rendering:
        """Return a likely rendering: all marks, except where something else was seen."""
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
    """Yield the pairs of neighbours, each with the marks of its second message."""
    before = None
    for message in probe.messages:
        form = form_of(message)
        yield (before, form), _marks(message)
        before = form
    yield (before, None), []


def _marks(message: Message) -> list[str]:
    return marks_in(repr(message))
