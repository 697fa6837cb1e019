"""A LiteLLM proxy that tells whose code its time goes to.

    python -m benchmarks.sampled_proxy FILE --config config.yaml ...    further arguments: LiteLLM's

At a signal it begins to look every millisecond at what its event loop's thread is doing; at the
next it ends, and writes to FILE what it saw, as JSON (`Samples`). It is to be kept busy meanwhile:
waiting counts as the event loop's.
"""

from __future__ import annotations

import json
import signal
import sys
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType
from typing import TypedDict

SIGNAL = signal.SIGUSR1
"""What begins and ends the sampling."""

INTERVAL_SECONDS = 0.001

GUARD = "litellm_role_guard"
_INSTALLED = "site-packages"


class Samples(TypedDict):
    """How often what was seen.

    Attributes:
        packages: By the package whose function ran; the standard library's count for who called.
        guard: By the guard's own functions, as module.function.
    """

    packages: dict[str, int]
    guard: dict[str, int]


class Sampler:
    """Looks at the main thread.

    Args:
        file: Where to write what was seen.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._packages: Counter[str] = Counter()
        self._guard: Counter[str] = Counter()
        self._owners: dict[CodeType, str | None] = {}
        self._wakeup: int | None = None
        signal.signal(SIGNAL, self._toggle)
        signal.signal(signal.SIGALRM, self._look)

    def _toggle(self, number: int, frame: FrameType | None) -> None:
        if self._wakeup is None:
            # The event loop would be woken by each look, which would be seen as its work.
            self._wakeup = signal.set_wakeup_fd(-1)
            signal.setitimer(signal.ITIMER_REAL, INTERVAL_SECONDS, INTERVAL_SECONDS)
            return
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.set_wakeup_fd(self._wakeup)
        self._wakeup = None
        seen = Samples(packages=dict(self._packages), guard=dict(self._guard))
        self._packages.clear()
        self._guard.clear()
        new = self._file.with_suffix(".new")
        new.write_text(json.dumps(seen))
        new.rename(self._file)

    def _look(self, number: int, frame: FrameType | None) -> None:
        while frame is not None:
            code = frame.f_code
            if code not in self._owners:
                self._owners[code] = _owner(code)
            owner = self._owners[code]
            if owner is not None:
                self._packages[owner] += 1
                if owner == GUARD:
                    self._guard[f"{Path(code.co_filename).stem}.{code.co_name}"] += 1
                return
            frame = frame.f_back
        self._packages["event loop"] += 1


def _owner(code: CodeType) -> str | None:
    parts = Path(code.co_filename).parts
    if _INSTALLED in parts:
        return parts[parts.index(_INSTALLED) + 1]
    return GUARD if GUARD in parts else None


def main() -> None:
    """Run the proxy."""
    file = Path(sys.argv.pop(1))
    from litellm import run_server

    Sampler(file)
    run_server()


if __name__ == "__main__":
    main()
