"""The table of the fast scan: where a conversation may go on without a closer look."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final, NamedTuple

from ..profile.states import KINDS, STATES, UNKNOWN, Kind, after

ANY_NUMBER = 1 << 30

CALL: Final = object()
"""The key of a message with tool calls. Its role alone, `assistant`, is ambiguous."""

RESULT: Final = object()
"""The key of a tool result that was looked at, and not only its role."""


class ScanState(dict[object, "ScanState"]):
    """Where a conversation stands: the next state, by the role (or key) that is taken and read.

    Attributes:
        state: Its name among `profile.states.STATES`.
        ends: Whether a reply may be asked for there, once the user has said something.
    """

    __slots__ = ("ends", "state")

    def __init__(self, state: str, *, ends: bool) -> None:
        super().__init__()
        self.state = state
        self.ends = ends


class ScanTable(NamedTuple):
    """What the scan lets through.

    Attributes:
        opens: Whether a system message is read at the front, where there is one.
        states: The states by their names.
        parts: Of how many parts a content may be, by the kind of message.
        text_parts: The same of text alone, for kinds whose media the template does not show, or
            which may not be empty.
        answering: The states in which a tool result has to answer an open call.
        reasoning: Whether a message may hold reasoning.
    """

    opens: bool
    states: Mapping[str, ScanState]
    parts: Mapping[str, int]
    text_parts: Mapping[str, int]
    answering: frozenset[str]
    reasoning: bool

    @classmethod
    def build(
        cls,
        goes_on: Callable[[str, Kind], bool],
        *,
        opens: bool,
        ends: Callable[[str], bool],
        single_part: Collection[str],
        no_media: Collection[str],
        any_parts: bool,
        strict_results: Collection[str],
        reasoning: bool,
    ) -> ScanTable:
        """Build a table.

        Args:
            goes_on: Whether a kind is surely taken and read in a state.
            opens: As the attribute.
            ends: Whether a reply may be asked for in a state.
            single_part: The kinds whose content may be of one part only.
            no_media: The kinds whose content may be parts of some text alone.
            any_parts: Whether content may be parts at all; some hold text of other types.
            strict_results: After which turns (`call`, `tool`) a result has to answer an open call.
            reasoning: As the attribute.
        """
        # A role of the template's own leads to a state of which nothing is known.
        states = {state: ScanState(state, ends=ends(state)) for state in (*STATES, UNKNOWN)}
        keys: dict[Kind, object] = {"call": CALL, "tool": RESULT}
        for state in STATES:
            for kind in KINDS:
                if goes_on(state, kind):
                    states[state][keys.get(kind, kind)] = states[after(state, kind)]
        limits = {
            kind: (1 if kind in single_part else ANY_NUMBER) if any_parts else 0 for kind in KINDS
        }
        return cls(
            opens=opens,
            states=states,
            parts={kind: 0 if kind in no_media else limits[kind] for kind in KINDS},
            text_parts={kind: limits[kind] for kind in KINDS if kind in no_media},
            answering=frozenset(
                state for state in STATES if state.rpartition("+")[2] in strict_results
            ),
            reasoning=reasoning,
        )
