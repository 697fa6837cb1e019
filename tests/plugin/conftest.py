"""A cautious guard, and the one backend that LiteLLM's calls reach."""

from __future__ import annotations

from collections.abc import Iterator

import litellm
import pytest

from litellm_role_guard import RoleGuard
from testing.litellm_calls import STRICT, Backend


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Backend:
    """Give the backend that every hosted_vllm call of LiteLLM reaches."""
    strict = Backend(STRICT)
    monkeypatch.setattr(
        "litellm_role_guard.plugin.litellm_internals.get_async_httpx_client", lambda **_: strict
    )
    return strict


@pytest.fixture
def guard() -> Iterator[RoleGuard]:
    """Give a cautious guard that LiteLLM calls."""
    before = litellm.callbacks
    made = RoleGuard(learn=False)
    litellm.callbacks = [made]
    yield made
    litellm.callbacks = before
