"""The guard with a fault inside, as a callback for tests."""

from __future__ import annotations

from typing import Any

from litellm_role_guard import role_guard
from litellm_role_guard.plugin import guarded_call as attempt


def _broken(*args: Any, **kwargs: Any) -> Any:
    raise RuntimeError(f"an error that quotes {args!r}")


vars(attempt)["repair"] = _broken

__all__ = ["role_guard"]
