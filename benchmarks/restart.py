"""What becomes of an agent's requests in the ten seconds after a restart, for docs/operate.md."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from testing.restart import CAUTIOUS, RIGHT, Restart, RestartedProxy

REQUESTS, DEPLOYMENTS = 200, 10


def main() -> None:
    """Print the table: a proxy that knows nothing, and the same one started again, twice."""
    print(f"| {REQUESTS} requests, {DEPLOYMENTS} deployments | right | cautious | others | ready |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        proxy = RestartedProxy(Path(folder), stack, DEPLOYMENTS)
        for name in ("nothing kept", "kept", "kept, once more"):
            print(_row(name, proxy.run(REQUESTS)), flush=True)


def _row(name: str, restart: Restart) -> str:
    right, cautious = restart.outcomes[RIGHT], restart.outcomes[CAUTIOUS]
    others = restart.outcomes.total() - right - cautious
    times = [time for each in restart.known.values() for time in each]
    each = f"{median(times):.0f} ms in the middle, {max(times):.0f} ms at most a deployment"
    return f"| {name} | {right} | {cautious} | {others} | {restart.ready}; {each} |"


if __name__ == "__main__":
    main()
