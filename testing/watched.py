"""A proxy that is asked for all that it says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import httpx

from .collector import Collector
from .proxied import Backend, Proxy

PASSWORD = "url-password-kept-secret"


@dataclass
class Operated:
    """A proxy, what it says of itself, and where its spans go."""

    proxy: Proxy
    backend: Backend
    collector: Collector
    folder: Path

    def metrics(self) -> str:
        """Return the guard's lines of /metrics."""
        answer = httpx.get(f"{self.proxy.url}/metrics/", headers=bearer("sk-admin"), timeout=30)
        assert answer.status_code == 200
        return "\n".join(line for line in answer.text.splitlines() if "role_guard" in line)

    def count(self, name: str, **labels: str) -> float:
        """Return the sum of the samples of a metric whose labels include these."""
        found = 0.0
        for line in self.metrics().splitlines():
            if line.startswith(f"{name}{{") and all(
                f'{label}="{value}"' in line for label, value in labels.items()
            ):
                found += float(line.rpartition(" ")[2])
        return found


def bearer(key: str) -> dict[str, str]:
    """Return the header that authorizes a key of `auth.py`."""
    return {"Authorization": f"Bearer {key}"}
