"""What one proxy has learnt of a backend, kept in LiteLLM's Redis for all the others.

LiteLLM's router has a cache with a Redis behind it, wherever the config names one: in
`router_settings` (`redis_host`, ...) or in `litellm_settings.cache`. A Redis that is down or slow
costs the sharing and nothing else. What is found there is believed only if it is a profile, and
signed with the proxy's own secret: whoever can write there would otherwise write rules of repair.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..backend.identity import BackendIdentity
from ..diagnosis.coverage import installed
from ..observability.log import log_failure, logger
from ..profile.template_profile import TemplateProfile
from .litellm_internals import signing_secret
from .signed_text import signed, verified

SECONDS = 0.5
"""How long the cache may take to answer."""


SKEW_SECONDS = 300.0
"""By how much another machine's clock may be ahead."""


MAX_CHARS = 100_000
"""How long an entry may be. A profile has some ten thousand characters."""


_T = TypeVar("_T")


class CachedProfile(BaseModel):
    """A profile that was learnt from a backend, and what it holds for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    profile: TemplateProfile
    identity: BackendIdentity
    learnt_at: float = Field(description="When, in seconds since 1970.", gt=0, allow_inf_nan=False)
    fingerprint: str | None = Field(
        default=None,
        description="What the backend made of a handful of conversations (`Signs.fingerprint`), "
        "where it does not show its template.",
    )

    @property
    def age(self) -> float:
        """How many seconds ago it was learnt; 0 for what another machine's clock puts ahead."""
        return max(0.0, time.time() - self.learnt_at)


def _version() -> str:
    told = [installed("litellm-role-guard"), CachedProfile.model_json_schema()]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]


VERSION = _version()
"""Of this package. Another release may ask otherwise, or name what it finds otherwise: its profiles
are not used."""


class Cache(Protocol):
    """LiteLLM's `RedisCache`, as far as it is used."""

    async def async_get_cache(self, key: str) -> Any:
        """Return what stands under a key, or None."""

    async def async_set_cache(self, key: str, value: Any, *, ttl: int) -> Any:
        """Keep a value under a key, for so many seconds."""


class ProfileCache:
    """The profiles that all proxies with the same Redis know.

    Args:
        cache: Gives the cache; None where there is none.
        max_age: For how many seconds a profile is kept.
        secret: Returns what profiles are signed with; None where there is nothing to sign with,
            and nothing is shared.
    """

    _has_warned = False

    def __init__(
        self,
        cache: Callable[[], Cache | None],
        max_age: float,
        secret: Callable[[], str | None] = signing_secret,
    ) -> None:
        self._cache = cache
        self._max_age = max_age
        self._secret = secret

    async def get(
        self, url: str, model: str, fields: Mapping[str, Any], identity: BackendIdentity
    ) -> CachedProfile | None:
        """Return what is known of a backend, or None.

        Args:
            url: Its address.
            model: The name of the served model.
            fields: What goes with every conversation.
            identity: What the backend says of itself.
        """
        cache, secret = self._given()
        if cache is None or secret is None:
            return None
        key = _key(url, model, fields, identity)
        found = await _in_time(cache.async_get_cache(key))
        if not isinstance(found, str) or len(found) > MAX_CHARS:
            return None
        written = verified(found, key, secret)
        if written is None:
            self._warn()
            return None
        try:
            known = CachedProfile.model_validate_json(written)
        except ValidationError:
            return None
        is_of_now = known.learnt_at < time.time() + SKEW_SECONDS
        return known if known.identity == identity and is_of_now else None

    async def put(
        self, url: str, model: str, fields: Mapping[str, Any], known: CachedProfile
    ) -> None:
        """Let the others know.

        Args:
            url: The backend's address.
            model: The name of the served model.
            fields: What went with every conversation.
            known: What was learnt.
        """
        cache, secret = self._given()
        if cache is not None and secret is not None:
            key = _key(url, model, fields, known.identity)
            ttl = max(1, int(self._max_age))
            entry = signed(known.model_dump_json(), key, secret)
            await _in_time(cache.async_set_cache(key, entry, ttl=ttl))

    def _given(self) -> tuple[Cache | None, str | None]:
        try:
            return self._cache(), self._secret()
        except Exception as error:  # another version of LiteLLM
            log_failure("no cache to share profiles in", error, logging.DEBUG)
            return None, None

    def _warn(self) -> None:
        if not ProfileCache._has_warned:
            ProfileCache._has_warned = True
            logger.warning(
                "a profile in Redis is not signed with this proxy's LITELLM_SALT_KEY or master "
                "key: ignored; the proxies that share a Redis need the same one"
            )


async def _in_time(answer: Awaitable[_T]) -> _T | None:
    try:
        return await asyncio.wait_for(answer, SECONDS)
    except Exception as error:  # whatever a Redis, its client or LiteLLM may raise
        log_failure("the shared profiles cannot be reached", error, logging.DEBUG)
        return None


def _key(url: str, model: str, fields: Mapping[str, Any], identity: BackendIdentity) -> str:
    told = json.dumps([url.rstrip("/"), model, fields, identity], sort_keys=True, default=str)
    # The address may hold a password, and keys are seen by whoever looks into the Redis.
    return f"role_guard:signed:{VERSION}:{hashlib.sha256(told.encode()).hexdigest()}"
