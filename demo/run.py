"""`make run`: the demo's guarded proxy and its two backends, kept up to talk to."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from pathlib import Path

from .fleet import MASTER_KEY, MODEL, fleet


def main() -> None:
    """Run until Ctrl-C, or until the process is told to stop."""
    port = int(os.environ.get("PORT", "4000"))
    stop = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stop.set())
    with tempfile.TemporaryDirectory() as folder:
        print(f"Starting two simulated backends and the proxy on port {port} ...", flush=True)
        with fleet(Path(folder), port=port) as running:
            print(
                f"""
Up. Two messages of the user in a row, which the backends refuse and the guard repairs:

  curl -i {running.url}/v1/chat/completions -H 'Authorization: Bearer {MASTER_KEY}' \\
    -H 'Content-Type: application/json' -d '{{"model": "{MODEL}", "messages": [
      {{"role": "user", "content": "are you there?"}},
      {{"role": "user", "content": "hello again"}}]}}'

The Playground:  {running.url}/ui/playground/   (key: {MASTER_KEY})
The backends:    {"  ".join(running.backends)}
What they got:   curl {running.backends[0]}/control/requests
Make one fail:   curl {running.backends[0]}/control -d '{{"fault": "refuse"}}' \\
                   -H 'Content-Type: application/json'

Ctrl-C ends all of it.""",
                flush=True,
            )
            stop.wait()


if __name__ == "__main__":
    main()
