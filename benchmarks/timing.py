"""Times of computations side by side: in turns, so that what slows the machine down slows all.

It is the processor's time that counts, which other processes take nothing of.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any


def interleaved(
    calls: Mapping[str, Callable[[], Any]], *, rounds: int = 15, seconds: float = 0.004
) -> dict[str, float]:
    """Give the median processor time of each call, in seconds.

    Args:
        calls: What to time, by its name.
        rounds: How often each gets its turn.
        seconds: For how long it is called in one turn, about.
    """
    often = {name: _how_often(call, seconds) for name, call in calls.items()}
    times: dict[str, list[float]] = {name: [] for name in calls}
    gc.collect()
    gc.disable()  # as timeit does: what is collected is mostly other people's
    try:
        for _ in range(rounds):
            for name, call in calls.items():
                times[name].append(_mean(call, often[name]))
    finally:
        gc.enable()
    return {name: statistics.median(each) for name, each in times.items()}


def _how_often(call: Callable[[], Any], seconds: float) -> int:
    call()
    return max(1, int(seconds / max(1e-7, _mean(call, 1))))


def _mean(call: Callable[[], Any], count: int) -> float:
    start = time.thread_time()
    for _ in range(count):
        call()
    return (time.thread_time() - start) / count
