"""Whether a profile that was kept from before a restart still holds, by what the backend shows."""

from __future__ import annotations

import asyncio

from ..backend.backend import LIMIT_SECONDS, Backend
from ..backend.errors import LearningFailed
from ..backend.identity import BackendIdentity
from ..probing.telling import Signs, read_signs
from .profile_cache import CachedProfile

LONGEST_SECONDS = 4 * LIMIT_SECONDS
"""How long a score of requests may take, some of them at once."""


async def still_holds(kept: CachedProfile, backend: Backend, identity: BackendIdentity) -> bool:
    """Return whether a backend is what it was when a profile was learnt.

    Args:
        kept: The profile, and what it holds for.
        backend: The vLLM, which is asked where it does not show its template.
        identity: What it says of itself now.
    """
    if kept.identity != identity:
        return False
    if identity.template is not None:
        return True  # by the hash of the whole template
    signs = await _signs(backend)
    if signs is None or signs.fingerprint != kept.fingerprint:
        return False
    return signs.bear_out(kept.profile)


async def with_fingerprint(backend: Backend, learnt: CachedProfile) -> CachedProfile:
    """Return a profile with what it can be known by again."""
    if learnt.identity.template is not None:
        return learnt
    signs = await _signs(backend)
    if signs is None:
        return learnt  # it holds all the same, until the next restart
    return learnt.model_copy(update={"fingerprint": signs.fingerprint})


async def _signs(backend: Backend) -> Signs | None:
    try:
        return await asyncio.wait_for(read_signs(backend, seconds=LIMIT_SECONDS), LONGEST_SECONDS)
    except (LearningFailed, asyncio.TimeoutError):
        return None
