"""What a repair does grows with the conversation, and no faster."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from testing.counted_calls import calls_of
from testing.growing import PLACES, Prepared

SIZE = 60
TIMES = 4
MOST = 4.4
"""How much more a conversation of `TIMES` as many messages may take: an exponent of 1.07."""

REPAIRED = {
    place: prepared
    for place, prepared in PLACES.items()
    if place.startswith(("repair: ", "responses, ", "find_", "verify"))
}


@pytest.mark.parametrize("place", REPAIRED)
def test_work_grows_with_the_conversation(place: str) -> None:
    """Of each shape, on each of the project's templates and where nothing is known of one."""
    prepared: Callable[[int], Prepared] = REPAIRED[place]
    calls_of(prepared(SIZE))  # what is made once
    few, many = (calls_of(prepared(size)) for size in (SIZE, SIZE * TIMES))
    assert many <= MOST * few
