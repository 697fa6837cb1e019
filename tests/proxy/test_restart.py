"""A proxy is ready for its first request: from the backends, or from before its restart."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from testing.restart import RIGHT, RestartedProxy

REQUESTS, DEPLOYMENTS = 200, 4


@pytest.mark.slow
def test_behind_a_restart_no_request_is_repaired_by_the_cautious_default(tmp_path: Path) -> None:
    """Two hundred requests in its first ten seconds, to deployments that were known before."""
    with ExitStack() as stack:
        proxy = RestartedProxy(tmp_path, stack, DEPLOYMENTS, learn_wait=20)  # busy machines
        first, again = proxy.run(1), proxy.run(REQUESTS)
    assert len(first.known["learnt"]) == DEPLOYMENTS  # without a request of their own
    assert first.ready.startswith(f"{DEPLOYMENTS} of {DEPLOYMENTS}")
    assert again.outcomes == {RIGHT: REQUESTS}
    assert len(again.known["known again"]) == DEPLOYMENTS
