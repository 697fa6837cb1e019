"""LiteLLM's deployments, weighed by where a conversation is at home."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from litellm_role_guard.routing.affinity import PrefixAffinity
from litellm_role_guard.routing.prefix import (
    LOAD_BOUND,
)
from testing.conversations import system, user
from testing.routed import LONG, _Request, deployment


class TestDeployments:
    def ranked(self, deployments: list[Any], **request: Any) -> list[str]:
        """Give the ids of the deployments, the one with the most weight first."""
        given_messages = request.pop("messages", [user(LONG)])
        weighed = PrefixAffinity().ranked(deployments, given_messages, request)
        assert weighed is not None
        by_weight = sorted(weighed, key=lambda each: -each["litellm_params"]["weight"])
        return [each["model_info"]["id"] for each in by_weight]

    def test_all_are_given_back_and_nothing_of_litellms_is_changed(self) -> None:
        """LiteLLM's own lists stay as they are; the copies differ in their weight only."""
        deployments = [deployment(at) for at in range(40)]
        before = json.dumps(deployments)
        weighed = PrefixAffinity().ranked(deployments, [user(LONG)], {})
        assert weighed is not None
        assert json.dumps(deployments) == before
        for each in weighed:
            assert each["litellm_params"].pop("weight") > 0
        assert weighed == deployments

    def test_weights_are_far_apart(self) -> None:
        """The best that is left by whatever filter is drawn for certain."""
        deployments = [deployment(at) for at in range(8)]
        weighed = PrefixAffinity().ranked(deployments, [user(LONG)], {})
        assert weighed is not None
        weights = sorted(each["litellm_params"]["weight"] for each in weighed)
        assert all(high / low > 1e8 for low, high in itertools.pairwise(weights))

    def test_ids_and_keys_do_not_matter(self) -> None:
        """LiteLLM's ids are hashes of all parameters: with another API key the choice is the
        same."""
        plain = [deployment(at) for at in range(8)]
        keyed = [deployment(at, api_key="secret") for at in reversed(range(8))]
        assert self.ranked(plain) == self.ranked(keyed)

    @pytest.mark.parametrize(
        "written",
        [
            lambda model_id: {"deployment_id": model_id},
            lambda model_id: {"metadata": {"model_info": {"id": model_id}}},  # LiteLLM 1.100
        ],
        ids=["as an id", "as arguments"],
    )
    def test_what_failed_before_comes_last(
        self, written: Callable[[str], dict[str, object]]
    ) -> None:
        """A retry leaves the deployments alone that LiteLLM wrote down as failed."""
        deployments = [deployment(at) for at in range(3)]
        order = self.ranked(deployments)
        anothers = {**written(order[2]), "litellm_call_id": "another"}
        failed = {"previous_models": (written(order[0]), anothers, written(order[1]))}
        ranked = self.ranked(deployments, metadata=failed, litellm_call_id="this")
        assert ranked == [order[2], order[0], order[1]]

    def test_a_weight_of_none_is_for_when_nothing_else_is_left(self) -> None:
        """A deployment that an operator has set to weight 0 comes last."""
        deployments = [deployment(at, weight=0 if at == 1 else 2) for at in range(3)]
        for text in "abcdefgh":
            assert self.ranked(deployments, messages=[user(text + LONG)])[-1] == "id-1"

    @pytest.mark.parametrize(
        ("request_messages", "request_fields"),
        [
            ([], {}),
            (None, {}),
            ([system(LONG)], {}),
            ([user(LONG)], {"api_base": "http://mine"}),
            ([user(LONG)], {"api_key": "mine"}),
        ],
        ids=["none", "no-list", "only-system", "own-address", "own-key"],
    )
    def test_what_has_no_home_is_left_to_litellm(
        self, request_messages: Any, request_fields: dict[str, Any]
    ) -> None:
        """A request without a conversation, or for a client's own backend, is not ranked."""
        deployments = [deployment(at) for at in range(3)]
        assert PrefixAffinity().ranked(deployments, request_messages, request_fields) is None

    def test_a_burst_does_not_pile_up(self) -> None:
        """Requests count from their choice on, before LiteLLM has sent any of them."""
        affinity = PrefixAffinity()
        deployments = [deployment(at) for at in range(4)]
        requests = [_Request() for _ in range(40)]
        for request in requests:
            affinity.ranked(deployments, [user(LONG)], {"litellm_logging_obj": request})
        assert sum(affinity.in_flight.counts.values()) == 40
        assert max(affinity.in_flight.counts.values()) <= math.ceil(LOAD_BOUND * 40 / 4)
