"""A deployment's profile from before a restart: looked up, confirmed by its backend, or dropped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..backend.backend import LIMIT_SECONDS, Backend
from ..backend.errors import LearningFailed
from ..backend.identity import BackendIdentity
from ..observability.log import log_failure
from ..probing.telling import Signs, read_signs
from ..profile.template_profile import TemplateProfile
from .profile_cache import CachedProfile
from .profile_files import ProfileFiles

LONGEST_SECONDS = 4 * LIMIT_SECONDS
"""How long a score of requests may take, some of them at once."""


class KeptProfile:
    """What was known of a deployment before the restart, until its backend is heard.

    Args:
        files: Where it is kept.
        install: Takes the profile that the deployment is to use.
        default: What the deployment uses as long as nothing is known of it.
    """

    def __init__(
        self,
        files: ProfileFiles,
        install: Callable[[TemplateProfile], None],
        default: TemplateProfile,
    ) -> None:
        self._files = files
        self._install = install
        self._default = default
        self._found: CachedProfile | None = None
        self._is_looked_up = self._is_used = False

    def look_up(self, backend: Backend) -> None:
        """Find what was kept of a backend; without it until it is dropped."""
        if self._is_looked_up:
            return
        self._is_looked_up = True
        try:
            self._found = self._files.get(backend)
        except Exception as error:
            log_failure("role guard failed to read a kept profile", error)

    def use(self) -> None:
        """Use what was found before it is confirmed: it is likelier to hold than the default."""
        if self._found is not None and not self._is_used:
            self._is_used = True
            self._install(self._found.profile)

    async def confirmed(self, backend: Backend, identity: BackendIdentity) -> CachedProfile | None:
        """Return what was found, if the backend still is what it was then.

        Args:
            backend: The vLLM, which is asked where it does not show its template.
            identity: What it says of itself now.
        """
        kept = self._found
        if kept is None or kept.identity != identity:
            return None
        if identity.template is not None:
            return kept  # by the hash of the whole template
        signs = await _signs(backend)
        if signs is None or signs.fingerprint != kept.fingerprint:
            return None
        return kept if signs.bear_out(kept.profile) else None

    def drop(self) -> None:
        """Forget what was found, which the backend does not bear out."""
        if self._is_used:
            self._install(self._default)
        self.settle()

    def settle(self) -> None:
        """Forget what was found, since the backend has told by now."""
        self._found = None
        self._is_looked_up = self._is_used = False

    async def keep(self, backend: Backend, known: CachedProfile) -> None:
        """Keep what is known of a backend for after the next restart."""
        await self._files.put(backend, known)


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
