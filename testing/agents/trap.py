"""A proxy for everything that is not on this machine. It lets nothing through, and remembers it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Trap:
    """The running proxy.

    Attributes:
        url: Its address, for `HTTPS_PROXY`.
    """

    def __init__(self, listening: socket.socket) -> None:
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        self._caught: list[str] = []
        self._listening = listening

    def take(self) -> list[str]:
        """Return what was asked for since the last time: the first line of each request."""
        taken, self._caught = self._caught, []
        return taken

    def environment(self) -> dict[str, str]:
        """Return the variables that send a program's requests here, but those on this machine."""
        names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
        own = "127.0.0.1,localhost"
        return {**dict.fromkeys(names, self.url), "NO_PROXY": own, "no_proxy": own}

    def run(self) -> None:
        """Refuse everything until the socket is shut."""
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                try:
                    line = connection.recv(4096).partition(b"\r\n")[0].decode(errors="replace")
                    connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                except OSError as error:
                    line = str(error)
                self._caught.append(line)


@contextmanager
def trap() -> Iterator[Trap]:
    """Run a trap until the block is left."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        running = Trap(listening)
        thread = threading.Thread(target=running.run)
        thread.start()
        try:
            yield running
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()
