"""What counts as touched where an agent is tried: all that differs from what was handed over."""

from __future__ import annotations

from typing import Any

import pytest

from litellm_role_guard.messages.inert_mark import INERT_MARK
from testing.agents.clients import CLIENTS
from testing.agents.judged import Judgement, Outcome
from testing.agents.story import Told
from testing.agents.trial import Trial

SENT = {"messages": [{"role": "user", "content": "hello"}]}
OTHER = {"messages": [{"role": "user", "content": "hello "}]}


def test_a_request_that_goes_on_as_it_was_handed_over_is_untouched() -> None:
    """The same body and no word of a change."""
    assert _trial(guarded=_judged(SENT), handed_over=_judged(SENT)).touched == []


@pytest.mark.parametrize(
    "guarded", [{"sent": OTHER}, {"sent": SENT | {"tools": []}}, {"changes": "merged=1"}]
)
def test_any_difference_to_what_was_handed_over_is_found(guarded: dict[str, Any]) -> None:
    """Another text, another field, a header: each counts, whatever its kind."""
    judged = _judged(**{"sent": SENT, **guarded})
    assert _trial(guarded=judged, handed_over=_judged(SENT)).touched == [0]


@pytest.mark.parametrize("words", ["", ", and more"])
def test_labels_that_were_made_inert_are_no_touch_and_all_else_is(words: str) -> None:
    """The invisible mark alone may be added, where the header says so."""
    written, inert = "[Tool result]: 12", f"[{INERT_MARK}Tool result]: 12{words}"
    sent, made = ({"messages": [{"role": "user", "content": text}]} for text in (written, inert))
    for changes in ("labels=1", "labels=1; merged=1", None):
        trial = _trial(guarded=_judged(made, changes=changes), handed_over=_judged(sent))
        assert (trial.touched == []) is (changes == "labels=1" and not words)


@pytest.mark.parametrize("outcome", ["refused", "lost", "wrong"])
def test_what_was_in_need_of_a_repair_may_be_changed(outcome: Outcome) -> None:
    """Only what the backend reads whole and right as it is has to stay as it is."""
    handed_over = _judged(SENT, outcome=outcome)
    assert _trial(guarded=_judged(OTHER, changes="merged=1"), handed_over=handed_over).touched == []


def _judged(
    sent: dict[str, Any], *, changes: str | None = None, outcome: Outcome = "fine"
) -> Judgement:
    return Judgement(outcome, "", changes, sent, "")


def _trial(guarded: Judgement, handed_over: Judgement) -> Trial:
    told = Told("", [], [])
    return Trial(CLIENTS[0], "a model", told, told, [guarded], [guarded], [handed_over], [])
