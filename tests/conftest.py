"""What holds for all tests: no look-ups on the internet, and one of three sizes.

`ROLE_GUARD_TESTS` is the size. `quick`, the default, leaves out the slow tests and draws few
conversations; `full` leaves out none and draws many. Both draw the same ones in each run, so that
a failure is the change's and not the draw's. `fresh` draws as many as `full`, from the seed of
`--hypothesis-seed`.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncIterator

# Before anything imports litellm, which otherwise fetches its price list.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

import pytest
from hypothesis import HealthCheck, settings

from testing.clock import skipping
from testing.size import SIZE

_NUMBERS = itertools.count()

# How long an example takes says nothing: the first one learns a profile, and machines are busy.
_ALIKE = settings(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", _ALIKE, max_examples=25, derandomize=True)
settings.register_profile("full", _ALIKE, max_examples=100, derandomize=True)
settings.register_profile("fresh", _ALIKE, max_examples=100, print_blob=True)
settings.load_profile(SIZE)


def pytest_configure(config: pytest.Config) -> None:
    """Leave the slow tests out of a quick run that does not choose by a mark itself."""
    if SIZE == "quick" and not config.option.markexpr:
        config.option.markexpr = "not slow"


@pytest.fixture(autouse=True)
def _no_kept_profiles(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Give each test a cache folder of its own: another test's port may have been this one's."""
    folder = tmp_path_factory.getbasetemp() / "kept" / str(next(_NUMBERS))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))


@pytest.fixture
async def skipped_waits(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Let the clock jump over each wait of the test's event loop."""
    with skipping(asyncio.get_running_loop(), monkeypatch):
        yield
