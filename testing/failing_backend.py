"""A simulated vLLM that fails on demand."""

from __future__ import annotations

import time

from .proxied import CLIENT, Backend

ANSWERING = ("/v1/chat/completions", "/v1/responses")  # and not what the guard asks at /tokenize
_SECONDS = 60.0


class FailingBackend(Backend):
    """The running simulator."""

    def fail(self, fault: str | None) -> None:
        """Fail in a way that the simulator knows from here on; None ends it."""
        told = {"fault": fault, "paths": ANSWERING}
        CLIENT.post(f"{self.url}/control", json=told).raise_for_status()

    def wait_for(self, fault: str) -> None:
        """Wait until a request has met a fault.

        Raises:
            TimeoutError: None has, for a minute.
        """
        deadline = time.monotonic() + _SECONDS
        while not any(call["fault"] == fault for call in self.calls()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"no request has met {fault!r}")
            time.sleep(0.05)
