"""A backend as a test asks it: over connections of the test's own."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import httpx

from litellm_role_guard.backend.backend import Backend


def at(url: str, client: httpx.AsyncClient | None = None, **options: Any) -> Backend:
    """Return a backend that is asked over these connections, or over its own."""
    options.setdefault("model", "")
    return Backend("d", url, handler=SimpleNamespace(client=client), **options)
