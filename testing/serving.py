"""A simulator that runs in the test's own process, behind a real socket."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from litellm_role_guard.simulator import server_config


@contextmanager
def serving(app: ASGIApp) -> Iterator[str]:
    """Serve an app of `create_app` on a free port of 127.0.0.1; give its address."""
    server = uvicorn.Server(server_config(app))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        # Connections queue up in the socket until the server takes them, so none is too early.
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
