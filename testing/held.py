"""What a proxy process holds, as `tests/proxy/probe.py` tells it in headers."""

from __future__ import annotations

import time
from operator import le
from typing import NamedTuple

from .proxied import RUN, Proxy, body_of

SETTLED_SECONDS = 60.0
NOISE = 10
"""By how many tasks and idle connections LiteLLM differs from itself."""


class Held(NamedTuple):
    """What the proxy process holds while it is idle."""

    tasks: int
    sockets: int
    descriptors: int
    in_use: int
    in_flight: int


def held(proxy: Proxy, group: str = "strict") -> Held:
    """Count what the proxy holds, by a request to a group that is answered at once."""
    body = body_of("chat", group, RUN)
    headers = proxy.post("chat", body, headers={"x-probe": "1"}).headers
    return Held(*(int(headers[f"x-held-{name.replace('_', '-')}"]) for name in Held._fields))


def settled(proxy: Proxy, before: Held, group: str = "strict") -> Held:
    """Give what the proxy holds once that is as before, or after a while what is left."""
    deadline = time.monotonic() + SETTLED_SECONDS
    while True:
        now = held(proxy, group)
        most = [count + NOISE for count in before[:-2]] + [0, 0]
        if all(map(le, now, most)) or time.monotonic() > deadline:
            return now
        time.sleep(0.5)  # idle connections close, and LiteLLM's own tasks end, when they do
