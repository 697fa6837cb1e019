"""What a relaxed template does grows with the conversation, and no faster."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from testing.counted_calls import calls_of
from testing.growing import PLACES, RELAXED_SHARE, Prepared

SIZE = 40
TIMES = 4
MOST = 4.4
"""How much more a conversation of `TIMES` as many messages may take: an exponent of 1.07."""

RELAXED = {place: prepared for place, prepared in PLACES.items() if place.startswith("relax: ")}


@pytest.mark.slow
@pytest.mark.parametrize("place", RELAXED)
def test_work_grows_with_the_conversation(place: str) -> None:
    """Of each shape, on a template that takes few calls, one of odd ones, one of whole rounds."""
    prepared: Callable[[int], Prepared] = RELAXED[place]
    few, many = (calls_of(prepared(RELAXED_SHARE * size)) for size in (SIZE, SIZE * TIMES))
    assert few > 100
    assert many <= MOST * few
