"""A LiteLLM proxy whose guard can be taken out and put back while it runs.

    python -m benchmarks.switched_proxy FILE --config config.yaml ...    the rest: LiteLLM's

At a signal it takes the guard out of all lists of callbacks that LiteLLM has, or puts it back, and
writes which it was to FILE. Out of them, nothing of the guard runs in a request.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

SIGNAL = signal.SIGUSR1
"""What takes the guard out and puts it back."""

IN, OUT = "in", "out"


class Switch:
    """Takes the guard out and puts it back.

    Args:
        file: Where to write which it was, `IN` or `OUT`.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lists: dict[str, list[Any]] = {}
        signal.signal(SIGNAL, self._turn)

    def _turn(self, number: int, frame: FrameType | None) -> None:
        import litellm

        from litellm_role_guard.plugin.guard import RoleGuard

        if self._lists:
            for name, whole in self._lists.items():
                getattr(litellm, name)[:] = whole
            self._lists.clear()
        else:
            for name, value in vars(litellm).items():
                if isinstance(value, list) and any(isinstance(each, RoleGuard) for each in value):
                    self._lists[name] = list(value)
                    value[:] = [each for each in value if not isinstance(each, RoleGuard)]
        new = self._file.with_suffix(".new")
        new.write_text(OUT if self._lists else IN)
        new.rename(self._file)


def main() -> None:
    """Run the proxy."""
    file = Path(sys.argv.pop(1))
    from litellm import run_server

    Switch(file)
    run_server()


if __name__ == "__main__":
    main()
