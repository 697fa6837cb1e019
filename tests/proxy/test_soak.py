"""Many requests through two workers: none fails, and nothing is left over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from testing.soak import BACKENDS, WORKERS, run

pytestmark = pytest.mark.slow

REQUESTS = 300
CONCURRENCY = 60
BACKGROUND_TASKS = 40
"""How many tasks an idle worker of LiteLLM has at most."""


def test_many_requests_through_two_workers(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Every kind of request is answered, each worker lets go of all of them, and counts none as in
    flight; `python -m benchmarks.soak` is the long version, with figures over time."""
    result = run(tmp_path, REQUESTS, CONCURRENCY)
    record_property("longest", str(result.longest))
    assert result.outcomes == {"answered": REQUESTS}
    assert len(result.workers) == WORKERS
    assert [worker["in_flight"] for worker in result.workers] == [0] * WORKERS
    assert max(worker["tasks"] for worker in result.workers) <= BACKGROUND_TASKS
    routed = sum(worker["counts"].get("routed_home", 0) for worker in result.workers)
    assert routed > REQUESTS / BACKENDS
    assert "role guard failed" not in (tmp_path / "proxy.log").read_text()
