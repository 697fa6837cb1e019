"""What one proxy learnt the others use; whatever is wrong with the cache costs only that."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from litellm_role_guard import ChatTemplate, TemplateProfile
from litellm_role_guard.backend.identity import BackendIdentity
from litellm_role_guard.observability.counts import Counts
from litellm_role_guard.plugin import profile_cache as shared
from litellm_role_guard.plugin.profile_cache import MAX_CHARS, CachedProfile, ProfileCache
from litellm_role_guard.plugin.profile_files import ProfileFiles
from litellm_role_guard.plugin.profile_refresher import ProfileRefresher
from litellm_role_guard.plugin.signed_text import signed, verified
from testing.clock import Clock
from testing.counting_vllm import LONG, Vllm
from testing.templates import TEMPLATES

STRICT = ChatTemplate.from_path(TEMPLATES / "alternating.jinja")
PLAIN = ChatTemplate.from_path(TEMPLATES / "plain.jinja")
IDENTITY = BackendIdentity("0.32.0", "m", None)
HOUR = 3600.0


def SECRET() -> str:  # noqa: N802 - it stands for a constant
    """Give the secret of all proxies here."""
    return "sk-1"


class Redis:
    """A cache as LiteLLM's is to the guard."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}
        self.ttls: list[int] = []

    async def async_get_cache(self, key: str) -> Any:
        """Give what stands under a key."""
        return self.kept.get(key)

    async def async_set_cache(self, key: str, value: Any, *, ttl: int) -> None:
        """Keep a value as JSON does."""
        self.ttls.append(ttl)
        self.kept[key] = json.loads(json.dumps(value))


class Down(Redis):
    """One that is not there."""

    async def async_get_cache(self, key: str) -> Any:
        """Fail."""
        raise ConnectionError("refused")

    async def async_set_cache(self, key: str, value: Any, *, ttl: int) -> None:
        """Fail."""
        raise ConnectionError("refused")


class Hung(Redis):
    """One that never answers."""

    async def async_get_cache(self, key: str) -> Any:
        """Wait."""
        await asyncio.sleep(3600)

    async def async_set_cache(self, key: str, value: Any, *, ttl: int) -> None:
        """Wait."""
        await asyncio.sleep(3600)


def knowledge(**fields: Any) -> CachedProfile:
    """Give what may have been learnt."""
    told = {"profile": TemplateProfile.learn(STRICT), "identity": IDENTITY}
    return CachedProfile(**{**told, "learnt_at": time.time(), **fields})


def learner_with(
    redis: Redis | None, profiles: list[TemplateProfile], clock: Clock | None = None
) -> ProfileRefresher:
    """Return the refresher of a proxy with this cache."""
    return ProfileRefresher(
        profiles.append,
        max_age=HOUR,
        counts=Counts(),
        busy=set(),
        shared=ProfileCache(lambda: redis, HOUR, SECRET),
        kept=ProfileFiles(None),
        clock=clock or Clock(),
    )


async def learning(learner: ProfileRefresher, vllm: Vllm) -> None:
    """Learn, and share what was learnt."""
    await learner.ready(vllm.backend, LONG)
    if learner._keeping is not None:
        await learner._keeping


async def test_what_one_proxy_learnt_the_other_does_not_ask() -> None:
    """It gets the very profile, and puts no conversation to the backend."""
    redis, vllm = Redis(), Vllm(STRICT)
    first: list[TemplateProfile] = []
    second: list[TemplateProfile] = []
    await learning(learner_with(redis, first), vllm)
    asked = vllm.asked["/tokenize"]
    await learning(learner_with(redis, second), vllm)
    assert first == second == [TemplateProfile.learn(STRICT)]
    assert vllm.asked["/tokenize"] == asked
    assert redis.ttls == [HOUR]


async def test_what_a_refusal_contradicts_is_asked_and_shared_anew() -> None:
    """Nobody's earlier answer is believed then, and the others get the new one."""
    redis, vllm = Redis(), Vllm(PLAIN)
    profiles: list[TemplateProfile] = []
    clock = Clock()
    learner = learner_with(redis, profiles, clock)
    await learner.ready(vllm.backend, LONG)
    vllm.serve(STRICT)
    clock.put_forward()
    learner.on_refusal(vllm.backend)
    while learner._is_asking():
        await asyncio.sleep(0.01)
    assert learner._keeping is not None
    await learner._keeping
    other: list[TemplateProfile] = []
    await learning(learner_with(redis, other), vllm)
    assert profiles[1:] == other == [TemplateProfile.learn(STRICT)]


@pytest.mark.parametrize("redis", [None, Down(), Hung()], ids=["none", "down", "hung"])
async def test_a_cache_that_fails_costs_only_the_sharing(
    redis: Redis | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The profile is learnt from the backend."""
    monkeypatch.setattr(shared, "SECONDS", 0.05)
    profiles: list[TemplateProfile] = []
    await learner_with(redis, profiles).ready(Vllm(STRICT).backend, LONG)
    assert profiles == [TemplateProfile.learn(STRICT)]


async def test_a_cache_that_litellm_does_not_have_is_none() -> None:
    """Another version may keep it elsewhere."""

    def moved() -> Any:
        raise AttributeError("redis_cache")

    profiles = ProfileCache(moved, HOUR, SECRET)
    await profiles.put("http://vllm", "m", {}, knowledge())
    assert await profiles.get("http://vllm", "m", {}, IDENTITY) is None


async def test_an_entry_is_given_back_as_it_was_kept() -> None:
    """With everything that it holds for."""
    redis, known = Redis(), knowledge()
    profiles = ProfileCache(lambda: redis, HOUR, SECRET)
    await profiles.put("http://vllm/v1/", "m", {"a": 1}, known)
    assert await profiles.get("http://vllm/v1", "m", {"a": 1}, IDENTITY) == known


@pytest.mark.parametrize(
    ("url", "model", "fields", "identity"),
    [
        ("http://other", "m", {}, IDENTITY),
        ("http://vllm", "other", {}, IDENTITY),
        ("http://vllm", "m", {"chat_template_kwargs": {"a": 1}}, IDENTITY),
        ("http://vllm", "m", {}, IDENTITY._replace(version="0.33.0")),
        ("http://vllm", "m", {}, IDENTITY._replace(root="other")),
        ("http://vllm", "m", {}, IDENTITY._replace(template="0" * 64)),
    ],
)
async def test_what_holds_for_another_backend_is_not_given(
    url: str, model: str, fields: dict[str, Any], identity: BackendIdentity
) -> None:
    """An entry is found only where all that makes it true is the same."""
    redis = Redis()
    profiles = ProfileCache(lambda: redis, HOUR, SECRET)
    await profiles.put("http://vllm", "m", {}, knowledge())
    assert await profiles.get("http://vllm", "m", {}, IDENTITY) is not None
    assert await profiles.get(url, model, fields, identity) is None


def poisoned(**fields: Any) -> str:
    """Give an entry with wrong fields."""
    return json.dumps({**json.loads(knowledge().model_dump_json()), **fields})


@pytest.mark.parametrize(
    "entry",
    [
        "hello",
        "",
        5,
        ["x"],
        {"profile": {}},
        "{}",
        "[" * 100_000,
        poisoned(more=1),
        poisoned(profile={"leading_system": {"system": "perhaps"}}),
        poisoned(profile={"unknown": 1}),
        poisoned(profile={"follows": {"nowhere": {}}}),
        poisoned(profile={"ignored_empty": {"user": {"system": "nowhere"}}}),
        poisoned(identity=["0.31.0", "m", None]),
        poisoned(learnt_at="soon"),
        poisoned(learnt_at=-1),
        poisoned(learnt_at=float("nan")),
        poisoned(learnt_at=time.time() + 10 * HOUR),
        poisoned(profile={"leading_system": {"x" * MAX_CHARS: "accepted"}}),
    ],
    ids=range(18),
)
async def test_a_poisoned_or_foreign_entry_is_ignored(entry: Any) -> None:
    """What is no profile of this very backend is as good as nothing."""
    redis = Redis()
    profiles = ProfileCache(lambda: redis, HOUR, SECRET)
    await profiles.put("http://vllm", "m", {}, knowledge())
    (key,) = redis.kept
    # Signed, too: a proxy of another release, say, or one whose secret somebody has.
    redis.kept[key] = signed(entry, key, SECRET()) if isinstance(entry, str) else entry
    assert await profiles.get("http://vllm", "m", {}, IDENTITY) is None


async def test_an_entry_that_is_too_old_is_learnt_anew() -> None:
    """It may stand there for longer than this proxy believes it."""
    redis, vllm = Redis(), Vllm(STRICT)
    await learning(learner_with(redis, []), vllm)
    (key,) = redis.kept
    known = json.loads(verified(redis.kept[key], key, SECRET()) or "")
    old = {**known, "learnt_at": time.time() - 2 * HOUR}
    redis.kept[key] = signed(json.dumps(old), key, SECRET())
    asked = vllm.asked["/tokenize"]
    await learning(learner_with(redis, []), vllm)
    assert vllm.asked["/tokenize"] == 2 * asked


async def test_an_entry_takes_little_room() -> None:
    """Far below what is believed."""
    redis = Redis()
    await ProfileCache(lambda: redis, HOUR, SECRET).put("http://vllm", "m", {}, knowledge())
    (entry,) = redis.kept.values()
    assert len(entry) < MAX_CHARS / 4


@pytest.mark.parametrize("forgery", ["unsigned", "another secret", "another place", "cut"])
async def test_an_entry_that_this_proxy_cannot_have_signed_is_ignored(
    forgery: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever can write to the Redis writes no rules; the log says so, once, and quotes nothing."""
    monkeypatch.setattr(ProfileCache, "_has_warned", False)
    redis = Redis()
    profiles = ProfileCache(lambda: redis, HOUR, SECRET)
    await profiles.put("http://vllm", "m", {}, knowledge())
    (key,) = redis.kept
    text = knowledge().model_dump_json()
    redis.kept[key] = {
        "unsigned": text,
        "another secret": signed(text, key, "sk-2"),
        "another place": signed(text, key + "x", SECRET()),
        "cut": redis.kept[key][:-1],
    }[forgery]
    assert await profiles.get("http://vllm", "m", {}, IDENTITY) is None
    assert await profiles.get("http://vllm", "m", {}, IDENTITY) is None
    (line,) = [each.getMessage() for each in caplog.records if "Redis" in each.getMessage()]
    assert "not signed with this proxy's LITELLM_SALT_KEY or master key" in line


async def test_without_a_secret_nothing_is_shared() -> None:
    """A proxy that cannot sign writes nothing, and believes nothing."""
    redis = Redis()
    profiles = ProfileCache(lambda: redis, HOUR, lambda: None)
    await profiles.put("http://vllm", "m", {}, knowledge())
    assert redis.kept == {}
    assert await profiles.get("http://vllm", "m", {}, IDENTITY) is None
