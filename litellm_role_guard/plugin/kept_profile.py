"""A deployment's profile from before a restart: used once its backend has borne it out."""

from __future__ import annotations

import asyncio

from ..backend.backend import LIMIT_SECONDS, Backend
from ..backend.errors import LearningFailed
from ..backend.identity import BackendIdentity
from ..observability.log import log_failure
from ..probing.telling import Signs, read_signs
from .profile_cache import CachedProfile
from .profile_files import ProfileFiles

LONGEST_SECONDS = 4 * LIMIT_SECONDS
"""How long a score of requests may take, some of them at once."""


async def kept_of(files: ProfileFiles, backend: Backend) -> CachedProfile | None:
    """Return what was kept of a backend, which is no more than a claim; None for nothing."""
    try:
        return await files.get(backend)
    except Exception as error:  # it is learnt instead
        log_failure("role guard failed to read a kept profile", error)
        return None


async def confirmed(
    kept: CachedProfile, backend: Backend, identity: BackendIdentity
) -> CachedProfile | None:
    """Return what was kept of a backend, if the backend still is what it was then.

    Args:
        kept: What was found.
        backend: The vLLM, which is asked where it does not show its template.
        identity: What it says of itself now.
    """
    if kept.identity != identity:
        return None
    if identity.template is not None:
        return kept  # by the hash of the whole template
    if kept.fingerprint is None:
        return None
    signs = await _signs(backend)
    if signs is None or signs.fingerprint != kept.fingerprint:
        return None
    return kept if signs.bear_out(kept.profile) else None


async def with_fingerprint(backend: Backend, learnt: CachedProfile) -> CachedProfile:
    """Return a profile with what it can be known by again."""
    if learnt.identity.template is not None:
        return learnt
    signs = await _signs(backend)
    if signs is None or not signs.bear_out(learnt.profile):
        return learnt  # it holds all the same, until the next restart
    return learnt.model_copy(update={"fingerprint": signs.fingerprint})


async def _signs(backend: Backend) -> Signs | None:
    try:
        return await asyncio.wait_for(read_signs(backend, seconds=LIMIT_SECONDS), LONGEST_SECONDS)
    except (LearningFailed, asyncio.TimeoutError):
        return None
