"""How time grows with a request's size: each place of the guard, at three sizes, side by side.

python -m benchmarks.growth           prints the exponent of each place (4 minutes)
python -m benchmarks.growth repair    only the places whose name has this in it

The exponent is that of time = size ** exponent, by the least squares over the sizes: 1 is linear, 2
quadratic. What is above `LIMIT` ends the run with an error.
"""

from __future__ import annotations

import gc
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from statistics import linear_regression
from typing import Any, NamedTuple

from testing.growing import PLACES

LIMIT = 1.1
SIZES = (1000, 2000, 4000)
ROUNDS = 3
LONGEST_SECONDS = 10.0
"""How long one call may take; a larger size is then not tried."""


class Growth(NamedTuple):
    """The times of one place.

    Attributes:
        place: Its name.
        seconds: The least processor time by size.
    """

    place: str
    seconds: Mapping[int, float]

    @property
    def exponent(self) -> float:
        """How time grows with the size."""
        sizes, seconds = map(math.log, self.seconds), map(math.log, self.seconds.values())
        return linear_regression(list(sizes), list(seconds)).slope


def measured(place: str, prepared: Callable[[int], Callable[[], Any]]) -> Growth:
    """Time a place at each size in turns, so that what slows the machine down slows all alike."""
    calls = {size: prepared(size) for size in SIZES}
    least = dict.fromkeys(SIZES, math.inf)
    gc.collect()
    gc.disable()  # it runs when it likes; what it takes of a request is no more than its share
    try:
        for _ in range(ROUNDS):
            for size, call in calls.items():
                began = time.thread_time()
                call()
                least[size] = min(least[size], time.thread_time() - began)
                if least[size] > LONGEST_SECONDS:
                    break
    finally:
        gc.enable()
    return Growth(place, {size: took for size, took in least.items() if took < math.inf})


def main() -> int:
    """Measure all places; return 1 where one grows faster than its input."""
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    too_fast = [growth for growth in _shown(wanted) if growth.exponent > LIMIT]
    for growth in too_fast:
        print(f"{growth.place}: grows faster than its input")
    return 1 if too_fast else 0


def _shown(wanted: str) -> Iterator[Growth]:
    for place, prepared in PLACES.items():
        if wanted not in place:
            continue
        growth = measured(place, prepared)
        times = "  ".join(f"{took * 1000:9.1f} ms" for took in growth.seconds.values())
        print(f"{place:48}{times}   {growth.exponent:5.2f}", flush=True)
        yield growth


if __name__ == "__main__":
    sys.exit(main())
