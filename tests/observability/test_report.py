"""What the guard says about what it did."""

from __future__ import annotations

import logging
import time

import pytest

from litellm_role_guard.observability.counts import Counts
from litellm_role_guard.observability.report import Report, explain, role_runs
from litellm_role_guard.repair.change import Change

MERGED = Change("merged", (0, 1), "two turns in a row")
SYSTEM = Change("system", (2,), "not taken there")


@pytest.fixture(autouse=True)
def _still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no time pass, which the lines tell of."""
    monkeypatch.setattr(time, "perf_counter", lambda: 1.0)


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
        'merged=1 group="gem ma" deployment=d1 milliseconds=0'
    ]


def test_a_value_cannot_pass_for_further_fields(caplog: pytest.LogCaptureFixture) -> None:
    """A name with blanks, equals signs or quotes is one quoted value in the line."""
    report = Report('g" deployment=d9 x="', "d1")
    report.changes = (MERGED,)
    with caplog.at_level(logging.INFO, "litellm_role_guard"):
        report.log()
    assert r'group="g\" deployment=d9 x=\"" deployment=d1' in caplog.text


def test_a_line_is_written_once_with_its_fields(caplog: pytest.LogCaptureFixture) -> None:
    """However many hooks ask for it, the line stands once, its fields as data beside the words."""
    told: list[Report] = []
    report = Report("g", "d1", details=lambda: {"request_id": "r1"}, on_logged=told.append)
    report.changes, report.retried, report.routed = (MERGED, MERGED), 1, "home"
    with caplog.at_level(logging.INFO, "litellm_role_guard"):
        report.log()
        report.log()
    (record,) = caplog.records
    fields = vars(record)
    assert record.getMessage().startswith("merged=2; retried=1 group=g deployment=d1 request_id=r1")
    assert (fields["changes"], fields["retried"], fields["routed"]) == ({"merged": 2}, 1, "home")
    assert (fields["group"], fields["request_id"]) == ("g", "r1")
    assert told == [report]


def test_an_untouched_request_is_told_at_level_debug(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever wants a line for each request gets it at DEBUG; it is no repair to list."""
    told: list[Report] = []
    with caplog.at_level(logging.DEBUG, "litellm_role_guard"):
        Report("g", "d1", on_logged=told.append).log()
    assert [record.levelname for record in caplog.records] == ["DEBUG"]
    assert caplog.records[0].getMessage().startswith("untouched group=g deployment=d1")
    assert told == []


def test_a_long_run_is_told_by_its_length(caplog: pytest.LogCaptureFixture) -> None:
    """A merge of many user messages says how many they were, and in the log what may be meant."""
    report = report_of(Change("merged", tuple(range(50)), ""), SYSTEM)
    report.long_run = 50
    with caplog.at_level(logging.INFO, "litellm_role_guard"):
        report.log()
    assert report.header() == "merged=1 of 50 messages; system=1"
    (record,) = caplog.records
    assert "50 user messages in a row" in record.getMessage()
    assert "batch" in record.getMessage()


def test_a_rejected_request_says_so_first() -> None:
    """The header of a 400 tells what would have been done; bad input needs no other word."""
    report = report_of(MERGED)
    report.rejected = True
    assert report.header() == "reject; merged=1"
    report.changes = (Change("bad_input", (), ""),)
    assert report.header() == "bad_input=1"


def test_roles_are_told_as_runs() -> None:
    """Roles are counted where they repeat; of a long conversation the end is shown."""
    assert role_runs(["system", "user", "user", "assistant"]) == "system, user x2, assistant"
    assert role_runs(["user", "assistant"] * 9, most=2) == "..., user, assistant"


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
