"""What the guard did lately, as admins see it."""

from __future__ import annotations

import json

from litellm_role_guard.observability.recent import MAX_GROUPS, MAX_REPAIRS, RecentRepairs
from litellm_role_guard.observability.report import Report
from litellm_role_guard.repair.change import Change


def report(group: str = "g", what: str = "merged", *, observed: bool = False) -> Report:
    """Give a report of one change."""
    made = Report(group, "d1", observed=observed)
    made.changes = (Change(what, (0, 1), "two turns in a row"),)
    made.roles = ("user x2", "user")
    return made


def test_a_repair_is_shown_with_what_it_did() -> None:
    """Time, group, deployment, kinds and roles before and after are there, as JSON has them."""
    recent = RecentRepairs(lambda: 7.0)
    recent.add(report())
    (shown,) = json.loads(json.dumps(recent.shown()))["recent"]
    assert shown == {
        "at": 7.0,
        "group": "g",
        "deployment": "d1",
        "outcome": "repaired",
        "kinds": {"merged": 1},
        "retried": 0,
        "before": "user x2",
        "after": "user",
    }


def test_outcomes_are_counted_by_group() -> None:
    """What was repaired, observed, rejected, bad input and retried is counted for each group."""
    recent = RecentRepairs()
    rejected, retried = report(), report("other")
    rejected.rejected, retried.retried = True, 2
    for each in (report(), report(observed=True), rejected, report(what="bad_input"), retried):
        recent.add(each)
    shown = recent.shown()["groups"]
    assert shown["g"] == {
        "repaired": 1,
        "observed": 1,
        "rejected": 1,
        "bad_input": 1,
        "retried": 0,
    }
    assert shown["other"] == {"repaired": 1, "retried": 1}


def test_little_is_remembered_however_much_is_done() -> None:
    """The last hundred repairs and the groups seen last are kept, with names of bounded length."""
    recent = RecentRepairs()
    for number in range(3 * MAX_GROUPS):
        recent.add(report(f"{number} " + "x" * 1000))
    shown = recent.shown()
    assert len(shown["recent"]) == MAX_REPAIRS
    assert len(shown["groups"]) == MAX_GROUPS
    assert shown["recent"][0]["group"].startswith(f"{3 * MAX_GROUPS - 1} ")
    assert len(json.dumps(shown)) < 100_000
