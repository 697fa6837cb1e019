"""What the guard says about what it did."""

from __future__ import annotations

import logging

import pytest

from litellm_role_guard.observability.counts import Counts
from litellm_role_guard.observability.report import Report, explain
from litellm_role_guard.repair.change import Change

MERGED = Change("merged", (0, 1), "two turns in a row")
SYSTEM = Change("system", (2,), "not taken there")


def report_of(*changes: Change, retried: int = 0, observed: bool = False) -> Report:
    """Give a report of these changes."""
    report = Report("gemma", "d1", observed=observed)
    report.changes, report.retried = changes, retried
    return report


def test_a_header_counts_each_kind_of_change() -> None:
    """The header has each kind of change with its count, then the retries."""
    report = report_of(MERGED, SYSTEM, MERGED, retried=1)
    assert report.header() == "merged=2; system=1; retried=1"


def test_an_untouched_request_has_no_header_and_no_line(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing done is not reported."""
    with caplog.at_level(logging.INFO, "litellm_role_guard"):
        report_of().log()
    assert report_of().header() is None
    assert not caplog.records


def test_observed_changes_are_told_from_made_ones() -> None:
    """In mode observe the header says so first."""
    assert report_of(MERGED, observed=True).header() == "observe; merged=1"


def test_no_line_break_gets_into_a_header() -> None:
    """Whatever a change is called, the header's value is one printable line."""
    value = report_of(Change("mer\r\nged\u2028", (0,), "")).header()
    assert value is not None
    assert value.isprintable()
    assert value.isascii()


def test_the_log_line_names_group_and_deployment_in_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One line with the counts, the group and the deployment, whatever they are called."""
    report = Report("gem\nma", "d1")
    report.changes = (MERGED,)
    with caplog.at_level(logging.INFO, "litellm_role_guard"):
        report.log()
    assert [record.getMessage() for record in caplog.records] == [
        "merged=1 group=gem ma deployment=d1"
    ]


def test_an_explanation_has_places_and_reasons() -> None:
    """What a rejected client reads names each message at fault and the reason."""
    assert explain([MERGED, SYSTEM], "messages[{}]".format) == (
        "messages[0], messages[1]: merged: two turns in a row; messages[2]: system: not taken there"
    )


def test_counts_start_at_zero_and_add_up() -> None:
    """An event that never happened counts zero."""
    counts = Counts()
    counts.add("repaired")
    counts.add("repaired")
    assert (counts["repaired"], counts["failed"]) == (2, 0)
