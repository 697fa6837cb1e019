"""Backends that are killed, hung, cut, failing and replaced under load."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from testing.chaos import AFTER, Chaos, run

pytestmark = pytest.mark.slow

SECONDS = 12.0
CONCURRENCY = 30
SEED = 1


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Chaos:
    """What becomes of the requests with the guard."""
    folder = tmp_path_factory.mktemp("guarded")
    return run(folder, SECONDS, CONCURRENCY, SEED, guarded=True)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Chaos:
    """What becomes of the same requests without it."""
    return run(tmp_path_factory.mktemp("bare"), SECONDS, CONCURRENCY, SEED, guarded=False)


def test_no_refusal_comes_back(guarded: Chaos) -> None:
    """Whatever template a backend has come back with, no conversation is refused."""
    assert guarded.refused == 0
    assert guarded.guard_failures == 0


def test_after_the_last_fault_every_request_is_answered(guarded: Chaos) -> None:
    """The backends are well again, and so is everybody's chat."""
    assert guarded.after == {"answered": AFTER}


def test_no_answer_is_lost_to_the_guard(
    guarded: Chaos, bare: Chaos, record_property: Callable[[str, object], None]
) -> None:
    """Amid the same faults at least as large a share is answered as without the guard."""
    record_property("guarded", str(guarded))
    record_property("bare", str(bare))
    assert sum(guarded.faults.values()) >= 3
    assert guarded.answered_share >= bare.answered_share
