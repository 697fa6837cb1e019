"""Two real vLLM servers behind a real proxy: how much of what was read before is found again."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from litellm_role_guard.routing.prefix import LOAD_BOUND
from testing.fleet import Outcome, run
from testing.proxies import start_proxy
from testing.talks import talks
from testing.vllm import MODEL

CONVERSATIONS = 30
TURNS = 8
CONCURRENCY = 20
ARMS = ("alone", "shuffled", "affine")


@pytest.fixture(scope="module")
def proxy(
    vllm_pair: tuple[str, str], gemma_3: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of a proxy with one group of one server, and two of both."""

    def group(name: str, urls: tuple[str, ...], routing: str) -> list[dict[str, Any]]:
        settings = {"chat_template": str(gemma_3), "routing": routing}
        return [
            {
                "model_name": name,
                "litellm_params": {
                    "model": f"hosted_vllm/{MODEL}",
                    "api_base": f"{url}/v1",
                    "api_key": "none",
                },
                "model_info": {"role_guard": settings},
            }
            for url in urls
        ]

    config = {
        "model_list": [
            *group("alone", vllm_pair[:1], "off"),
            *group("shuffled", vllm_pair, "off"),
            *group("affine", vllm_pair, "prefix_affinity"),
        ],
        "litellm_settings": {"callbacks": ["litellm_role_guard.role_guard"]},
    }
    with start_proxy(config, tmp_path_factory.mktemp("fleet")) as url:
        yield url


@pytest.fixture(scope="module")
def outcomes(proxy: str, vllm_pair: tuple[str, str]) -> dict[str, Outcome]:
    """What became of the same conversations, in words of their own, in each group."""
    fresh = uuid.uuid4().hex[:6]  # a server that was there before has none of it in its cache
    return {
        arm: asyncio.run(
            run(
                proxy,
                arm,
                vllm_pair[:1] if arm == "alone" else vllm_pair,
                talks(f"{arm}-{fresh}", CONVERSATIONS, TURNS),
                concurrency=CONCURRENCY,
            )
        )
        for arm in ARMS
    }


def test_every_turn_of_every_conversation_is_answered(outcomes: dict[str, Outcome]) -> None:
    """The broken ones, too."""
    for outcome in outcomes.values():
        assert outcome.requests == CONVERSATIONS * TURNS
        assert outcome.failures == []


def test_two_servers_find_as_much_again_as_one(
    outcomes: dict[str, Outcome], record_property: Callable[[str, object], None]
) -> None:
    """At least 0.95 of the share of prompt tokens that one server finds in its cache."""
    for arm, outcome in outcomes.items():
        figures = f"{outcome.hit_ratio:.3f} found again, load {outcome.load:.3f} of the mean"
        record_property(arm, figures)
        print(f"\n{arm}: {figures}, {outcome.routed}", end="")
    best = outcomes["alone"].hit_ratio
    assert outcomes["affine"].hit_ratio >= 0.95 * best
    assert outcomes["shuffled"].hit_ratio < outcomes["affine"].hit_ratio


def test_both_servers_work(outcomes: dict[str, Outcome]) -> None:
    """Neither has more requests than 1.25 times the mean."""
    assert outcomes["affine"].load <= LOAD_BOUND
