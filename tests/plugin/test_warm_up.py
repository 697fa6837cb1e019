"""All deployments are asked what they take when the proxy runs, before anybody's request is."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from litellm.router import Router

from litellm_role_guard import RoleGuard
from litellm_role_guard.plugin import warm_up
from litellm_role_guard.plugin.profile_refresher import AT_ONCE, ProfileRefresher
from litellm_role_guard.plugin.warm_up import Asked, WarmUp
from testing.gpu import STRICT, Gpu, gpu
from testing.templates import TEMPLATES

NOBODY = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def served() -> Iterator[Gpu]:
    """Give a backend that serves the model `m`."""
    with gpu(STRICT) as one:
        yield one


def entry(group: str, url: str, model: str = "hosted_vllm/m", **own: Any) -> dict[str, Any]:
    """Return a deployment of a router's model list; its settings are its own."""
    params = {"model": model, "api_base": f"{url}/v1", "api_key": "none"}
    return {"model_name": group, "litellm_params": params, "model_info": {"role_guard": own}}


def warm(entries: list[dict[str, Any]], **settings: Any) -> tuple[WarmUp, RoleGuard, Router]:
    """Return what warms a router's deployments up, and whom it does that for."""
    router = Router(model_list=entries, num_retries=0)
    guard = RoleGuard(**settings)
    return WarmUp(guard._groups, lambda: router), guard, router


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the lines on how ready the proxy is."""
    lines = [each.getMessage() for each in caplog.records]
    return [line for line in lines if line.startswith("ready: ")]


def sources(guard: RoleGuard) -> Counter[tuple[str, str]]:
    """Return how many deployments of each model are known from where."""
    return Counter((each["model"], each["source"]) for each in guard.shown()["profiles"])


async def test_each_guarded_deployment_that_can_be_asked_is_asked(served: Gpu) -> None:
    """Not those that are off, that name their template, or that are another provider's."""
    entries = [
        entry("a", served.url),
        entry("b", served.url),
        entry("off", served.url, mode="off"),
        entry("told", served.url, chat_template=str(TEMPLATES / "plain.jinja")),
        entry("unasked", served.url, learn=False),
        entry("c", served.url, "openai/m"),
    ]
    warming, guard, _ = warm(entries)
    assert await warming.ask_all() == Asked(2, 2)
    assert sources(guard) == {("m", "backend"): 2}
    assert guard.counts["learnt"] == 2


async def test_each_model_of_a_wildcard_is_asked_about(served: Gpu) -> None:
    """Its server says which they are."""
    warming, guard, _ = warm([entry("hosted_vllm/*", served.url, "hosted_vllm/*")])
    assert await warming.ask_all() == Asked(1, 1)
    assert sources(guard) == {("m", "backend"): 1}


async def test_models_beyond_the_bound_are_named_in_the_log(
    served: Gpu, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None is left to its first request in silence."""
    monkeypatch.setattr(warm_up, "MAX_SERVED", 0)
    warming, _, _ = warm([entry("hosted_vllm/*", served.url, "hosted_vllm/*")])
    with caplog.at_level(logging.INFO, "litellm_role_guard"):
        assert await warming.ask_all() == Asked(0, 0)
    (line,) = [each.getMessage() for each in caplog.records]
    assert line.startswith("asked at their first requests only: 1 of 1 models deployment=")


async def test_a_backend_that_is_down_keeps_no_other_from_being_asked(served: Gpu) -> None:
    """A wildcard's neither; both are to be asked again."""
    entries = [
        entry("down", NOBODY),
        entry("hosted_vllm/*", NOBODY, "hosted_vllm/*"),
        entry("up", served.url),
    ]
    warming, guard, _ = warm(entries)
    assert await warming.ask_all() == Asked(1, 3)
    assert guard.counts["learning_failed"] == 1


async def test_wrong_settings_of_one_deployment_keep_no_other_from_being_asked(served: Gpu) -> None:
    """An admin may add such a one to a proxy that runs."""
    warming, guard, _ = warm([entry("wrong", served.url, mood="bad"), entry("right", served.url)])
    assert await warming.ask_all() == Asked(1, 1)
    assert guard.counts["learnt"] == 1


async def test_a_deployment_that_is_added_later_is_asked_and_no_other_again(served: Gpu) -> None:
    """Each look asks whoever is not known yet."""
    warming, guard, router = warm([entry("a", served.url)])
    for _ in range(2):
        assert await warming.ask_all() == Asked(1, 1)
        assert guard.counts["learnt"] == 1
    router.set_model_list([entry("a", served.url), entry("b", served.url)])
    assert await warming.ask_all() == Asked(2, 2)
    assert guard.counts["learnt"] == 2


async def test_many_deployments_are_asked_a_few_at_a_time_and_none_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many there are."""
    at_once, most, asked = 0, 0, 0

    async def learn_now(self: ProfileRefresher, backend: Any) -> None:
        nonlocal at_once, most, asked
        at_once, asked = at_once + 1, asked + 1
        most = max(most, at_once)
        await asyncio.sleep(0.001)
        at_once -= 1

    monkeypatch.setattr(ProfileRefresher, "learn_now", learn_now)
    warming, _, _ = warm([entry(f"g{number}", NOBODY) for number in range(50)])
    assert await warming.ask_all() == Asked(0, 50)
    assert (asked, most) == (50, AT_ONCE)


async def test_it_waits_for_the_router_and_says_how_ready_the_proxy_is(
    served: Gpu, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one line, and in another one when all are known; the start waits for nothing of it."""
    monkeypatch.setattr(warm_up, "PAUSE_SECONDS", 0.01)
    made: list[Router] = []
    guard = RoleGuard()
    warming = WarmUp(guard._groups, lambda: made[0] if made else None)
    with caplog.at_level(logging.INFO, "litellm_role_guard"):
        warming.start()
        await asyncio.sleep(0.05)
        made.append(Router(model_list=[entry("a", served.url), entry("down", NOBODY)]))
        while not said(caplog):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        made[0].set_model_list([entry("a", served.url), entry("b", served.url)])
        while len(said(caplog)) < 2:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
    assert warming._task is not None
    warming._task.cancel()
    first, last = said(caplog)
    assert first.startswith("ready: 1 of 2 deployments known after ")
    assert last.startswith("ready: 2 of 2 deployments known after ")


async def test_a_router_that_cannot_be_read_costs_a_line_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Another version of LiteLLM may have it elsewhere; requests ask by themselves."""
    warming = WarmUp(RoleGuard()._groups, object)
    warming.start()
    assert warming._task is not None
    await warming._task
    (line,) = [each.getMessage() for each in caplog.records]
    assert line.startswith("the deployments are asked at their first requests only")


def test_without_an_event_loop_nothing_is_started() -> None:
    """A config that is only read, as by `role-guard doctor`."""
    warming = WarmUp(RoleGuard()._groups, lambda: None)
    warming.start()
    assert warming._task is None
