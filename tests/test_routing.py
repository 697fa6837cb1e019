"""The choice of a backend: the laws of routing, and what an opening is."""

from __future__ import annotations

import gc
import itertools
import json
import math
import os
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from typing import Any

import litellm
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from litellm.router import Router

from litellm_role_guard import ChatTemplate, RoleGuard, TemplateProfile, repair
from litellm_role_guard.observability.report import Report
from litellm_role_guard.plugin.settings import SettingsError
from litellm_role_guard.routing.affinity import PrefixAffinity
from litellm_role_guard.routing.in_flight import InFlight, InFlightRequest
from litellm_role_guard.routing.prefix import (
    LOAD_BOUND,
    OPENING_CHARS,
    ROOM,
    Candidate,
    choose,
    prefix_key,
)
from litellm_role_guard.simulator import create_app
from tests.conversations import assistant, parts, system, user
from tests.serving import serving

LONG = "x" * OPENING_CHARS
BACKENDS = [Candidate(f"http://gpu-{at}:8000/v1 gemma3") for at in range(8)]

words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200)
messages = st.lists(
    st.builds(
        lambda role, text: {"role": role, "content": text},
        st.sampled_from(["system", "developer", "user", "assistant"]),
        words,
    ),
    min_size=1,
    max_size=8,
)
backends = st.lists(
    st.builds(
        Candidate,
        st.text(max_size=30),
        st.one_of(st.just(0.0), st.floats(min_value=0.1, max_value=9)),
    ),
    min_size=1,
    max_size=9,
    unique_by=lambda backend: backend.key,
)
starts = st.binary(min_size=16, max_size=16)
loads = st.lists(st.integers(min_value=0, max_value=50), min_size=9, max_size=9)


def in_flight(chosen_from: list[Candidate], counts: list[int]) -> dict[str, int]:
    """Give each backend a load."""
    return {backend.key: count for backend, count in zip(chosen_from, counts, strict=False)}


def first(start: bytes, chosen_from: list[Candidate]) -> str:
    """Give the key of the backend that comes first while nothing is in flight."""
    return chosen_from[choose(start, chosen_from, {}).order[0]].key


class TestChoice:
    @given(starts, backends, loads, st.sets(st.integers(min_value=0, max_value=8)))
    def test_every_backend_stays_in_the_order(
        self, start: bytes, chosen_from: list[Candidate], counts: list[int], tried: set[int]
    ) -> None:
        """Whatever the load and the failures are, no backend is left out, and none comes twice."""
        order = choose(start, chosen_from, in_flight(chosen_from, counts), tried=tried).order
        assert sorted(order) == list(range(len(chosen_from)))

    @given(starts, backends, loads, st.randoms(use_true_random=False))
    def test_the_order_of_the_list_does_not_matter(
        self, start: bytes, chosen_from: list[Candidate], counts: list[int], random: Any
    ) -> None:
        """The same backends in any order are tried in the same order."""
        load = in_flight(chosen_from, counts)
        shuffled = list(chosen_from)
        random.shuffle(shuffled)
        plain, other = choose(start, chosen_from, load), choose(start, shuffled, load)
        assert [chosen_from[at] for at in plain.order] == [shuffled[at] for at in other.order]
        assert plain.preferred == other.preferred

    @given(starts, backends, st.data())
    def test_only_the_conversations_of_a_backend_that_left_move(
        self, start: bytes, chosen_from: list[Candidate], data: st.DataObject
    ) -> None:
        """Without one backend, all others keep their conversations; it is the same when it joins.

        This is about the hash; what the load bound moves besides is another test's.
        """
        gone = data.draw(st.sampled_from(chosen_from))
        left = [backend for backend in chosen_from if backend is not gone]
        before = first(start, chosen_from)
        if before != gone.key and left:
            assert first(start, left) == before

    @given(starts, backends, loads)
    def test_no_backend_gets_more_than_the_bound(
        self, start: bytes, chosen_from: list[Candidate], counts: list[int]
    ) -> None:
        """The first has at most 1.25 times its share, rounded up, or 8, with the next request."""
        load = in_flight(chosen_from, counts)
        best = chosen_from[choose(start, chosen_from, load).order[0]]
        whole = sum(backend.weight for backend in chosen_from)
        if whole:
            share = (sum(load.values()) + 1) * best.weight / whole
            assert load[best.key] + 1 <= max(ROOM, math.ceil(LOAD_BOUND * share))
            assert best.weight

    def test_a_full_home_gives_its_next_request_to_the_second(self) -> None:
        """What the load moves goes where it would go if the home were gone, and is called moved."""
        start = prefix_key([user(LONG)])
        assert start is not None
        preferred, second, *_ = choose(start, BACKENDS, {}).order
        moved = choose(start, BACKENDS, {BACKENDS[preferred].key: ROOM})
        assert (moved.order[0], moved.preferred) == (second, False)
        assert moved.order[-1] == preferred

    def test_a_backend_that_failed_the_request_comes_last(self) -> None:
        """A retry goes to the next backend, even where that is full."""
        order = choose(b"start", BACKENDS, {}).order
        load = {backend.key: 9 for at, backend in enumerate(BACKENDS) if at != order[0]}
        retried = choose(b"start", BACKENDS, load, tried={order[0]})
        assert retried.order == (*order[1:], order[0])
        assert not retried.preferred

    def test_weights_share_out_the_conversations(self) -> None:
        """A backend of three times the weight has three times the conversations; one of none has
        none."""
        unequal = [Candidate("small", 1.0), Candidate("big", 3.0), Candidate("resting", 0.0)]
        homes = Counter(first(str(at).encode(), unequal) for at in range(4000))
        assert homes["resting"] == 0
        assert 2.7 < homes["big"] / homes["small"] < 3.3

    def test_every_process_decides_alike(self) -> None:
        """Another process, with another seed for Python's own hashes, chooses the same."""
        talks = [[user(f"{at} {LONG}")] for at in range(50)]
        script = (
            "import json, sys\n"
            "from litellm_role_guard.routing.prefix import Candidate, choose, prefix_key\n"
            "keys, talks = json.load(sys.stdin)\n"
            "backends = [Candidate(key) for key in keys]\n"
            "print(json.dumps([choose(prefix_key(t), backends, {}).order for t in talks]))\n"
        )
        told = json.dumps([[backend.key for backend in BACKENDS], talks])
        orders = [
            subprocess.run(
                [sys.executable, "-c", script],
                input=told,
                env={**os.environ, "PYTHONHASHSEED": seed},
                capture_output=True,
                check=True,
                text=True,
            ).stdout
            for seed in ("1", "2")
        ]
        here = [choose(prefix_key(talk) or b"", BACKENDS, {}).order for talk in talks]
        assert orders[0] == orders[1]
        assert json.loads(orders[0]) == [list(order) for order in here]


class TestOpening:
    @given(messages, messages)
    @settings(max_examples=300)
    def test_it_stays_the_same_while_a_conversation_grows(
        self, begun: list[dict[str, Any]], more: list[dict[str, Any]]
    ) -> None:
        """Once a user message ends it, nothing that is said later changes it."""
        begun = [user("hello"), *begun, user(LONG)]
        assert prefix_key(begun) == prefix_key([*begun, *more])

    @pytest.mark.parametrize(
        "other",
        [
            [{"role": "developer", "content": "be kind"}, user(LONG)],
            [parts("system", "be kind"), user(LONG)],
            [system("be kind"), parts("user", LONG)],
            [system("be kind"), assistant(""), user(LONG)],
            [system("be kind"), user(LONG), user("still there?")],
            [system("be kind"), user(LONG), assistant("yes"), user("good")],
        ],
        ids=["developer", "system-parts", "user-parts", "empty", "retold", "grown"],
    )
    def test_forms_that_a_repair_brings_together_are_one(self, other: list[Any]) -> None:
        """What a template reads the same, or a repair makes the same, has one opening."""
        assert prefix_key(other) == prefix_key([system("be kind"), user(LONG)])

    def test_a_repair_does_not_change_it(self) -> None:
        """A repaired conversation begins as the broken one did."""
        broken = [system("be kind"), user(LONG), user("still there?"), assistant("yes"), user("ok")]
        repaired = repair(broken, TemplateProfile.cautious())
        assert repaired.changes
        beginning = [system("be kind"), user(LONG)]
        assert prefix_key(broken) == prefix_key(beginning)
        joined = repaired.messages[1]["content"]
        assert str(joined).startswith(LONG)

    def test_system_text_alone_is_no_opening(self) -> None:
        """A thousand agents with one long system prompt are a thousand conversations."""
        assert prefix_key([system(LONG)]) is None
        assert prefix_key([system(LONG), user("a")]) != prefix_key([system(LONG), user("b")])

    def test_a_greeting_is_not_all_of_an_opening(self) -> None:
        """Those who begin with the same few words are told apart by what they say next."""
        first_talk = [user("Hi"), assistant("Hello!"), user(f"first {LONG}")]
        second_talk = [user("Hi"), assistant("Hello!"), user(f"second {LONG}")]
        assert prefix_key(first_talk[:1]) == prefix_key(second_talk[:1])
        assert prefix_key(first_talk) != prefix_key(second_talk)

    def test_an_image_says_enough(self) -> None:
        """A message with an image ends an opening, and another image makes another one."""
        image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
        talk = [{"role": "user", "content": [image]}]
        assert prefix_key(talk) == prefix_key([*talk, assistant("a cat"), user("sure?")])
        other = {"type": "image_url", "image_url": {"url": "data:image/png;base64,BBBB"}}
        assert prefix_key(talk) != prefix_key([{"role": "user", "content": [other]}])

    def test_a_marked_cache_breakpoint_changes_nothing(self) -> None:
        """Clients move `cache_control` on as a conversation grows."""
        part = {"type": "text", "text": LONG}
        marked = {**part, "cache_control": {"type": "ephemeral"}}
        assert prefix_key([{"role": "user", "content": [part]}]) == prefix_key(
            [{"role": "user", "content": [marked]}]
        )


class TestInFlight:
    def test_a_flight_is_counted_until_it_ends(self) -> None:
        """It ends once, however often that is said."""
        flying = InFlight()
        request = _Request()
        flight = flying.begin("a", request)
        assert flying.counts == {"a": 1}
        flight.end()
        flight.end()
        assert flying.counts == {}

    def test_a_flight_ends_with_its_request(self) -> None:
        """Nobody has to say so: what holds it is gone."""
        flying = InFlight()
        request: _Request | None = _Request()
        flying.begin("a", request)
        request = None
        gc.collect()
        assert flying.counts == {}

    def test_a_request_is_on_its_way_to_one_backend(self) -> None:
        """Sent elsewhere, it is counted there and no longer where it was."""
        flying = InFlight()
        request = _Request()
        earlier = flying.begin("a", request)
        flying.begin("b", request)
        earlier.end()
        assert flying.counts == {"b": 1}

    def test_a_dropped_flight_ends(self) -> None:
        """A flight that nobody holds is no flight."""
        counts: Counter[str] = Counter()
        flight: InFlightRequest | None = InFlightRequest("a", counts)
        assert counts == {"a": 1}
        flight = None
        gc.collect()
        assert counts == {}
        assert flight is None


class _Request:
    """Stands for LiteLLM's logging object."""

    call_type = "acompletion"


def deployment(at: int, **params: Any) -> dict[str, Any]:
    """Give a deployment as LiteLLM hands it to its callbacks."""
    address = {"model": "hosted_vllm/gemma3", "api_base": f"http://gpu-{at}:8000/v1"}
    return {
        "model_name": "gemma3",
        "litellm_params": {**address, **params},
        "model_info": {"id": f"id-{at}"},
    }


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

    def test_what_failed_before_comes_last(self) -> None:
        """A retry leaves the deployments alone that LiteLLM wrote down as failed."""
        deployments = [deployment(at) for at in range(3)]
        order = self.ranked(deployments)
        failed = {"previous_models": ({"deployment_id": order[0]}, {"deployment_id": order[1]})}
        assert self.ranked(deployments, metadata=failed) == [order[2], order[0], order[1]]

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


class TestGuard:
    """The plugin's hook."""

    async def filtered(self, guard: RoleGuard, deployments: list[Any]) -> list[Any]:
        """Give what LiteLLM gets back."""
        return await guard.async_filter_deployments("gemma3", deployments, [user(LONG)], {})

    async def test_without_the_setting_nothing_happens(self) -> None:
        """It is off by default: LiteLLM gets back the very list that it gave."""
        deployments = [deployment(at) for at in range(3)]
        assert await self.filtered(RoleGuard(), deployments) is deployments

    async def test_a_group_is_routed_where_all_of_it_is(self) -> None:
        """One deployment that is set to `off`, or is not guarded, leaves the group to LiteLLM."""
        guard = RoleGuard(routing="prefix_affinity")
        deployments = [deployment(at) for at in range(3)]
        assert await self.filtered(guard, deployments) is not deployments
        deployments[1]["model_info"]["role_guard"] = {"routing": "off"}
        assert await self.filtered(guard, deployments) is deployments
        other = [deployment(0), deployment(1, model="openai/gpt-5")]
        assert await self.filtered(guard, other) is other

    async def test_it_can_be_set_for_one_group(self) -> None:
        """A deployment's own setting wins over the global one."""
        deployments = [deployment(at) for at in range(3)]
        for each in deployments:
            each["model_info"]["role_guard"] = {"routing": "prefix_affinity"}
        weighed = await self.filtered(RoleGuard(), deployments)
        assert {"weight"} <= weighed[0]["litellm_params"].keys()

    async def test_an_error_leaves_the_list_as_it_is(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It is counted and logged, without the client's words."""

        def fail(*args: object) -> None:
            raise RuntimeError(LONG)

        guard = RoleGuard(routing="prefix_affinity")
        monkeypatch.setattr(PrefixAffinity, "ranked", fail)
        deployments = [deployment(at) for at in range(3)]
        assert await self.filtered(guard, deployments) is deployments
        assert guard.counts["failed"] == 1
        assert "RuntimeError" in caplog.text
        assert LONG not in caplog.text

    def test_yaml_reads_off_as_false(self) -> None:
        """A bare `routing: off` in config.yaml is meant as it looks."""
        assert RoleGuard(routing=False).settings.routing == "off"

    def test_another_word_is_refused(self) -> None:
        """The message names the setting and what it may be."""
        with pytest.raises(SettingsError, match=r"routing: must be 'prefix_affinity' or 'off'"):
            RoleGuard(routing="random")

    async def test_a_router_without_a_proxy_routes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """In Python, `Router.acompletion` keeps conversations together as the proxy does."""
        guard = RoleGuard(routing="prefix_affinity", learn=False)
        monkeypatch.setattr(litellm, "callbacks", [guard])
        app = create_app(ChatTemplate("{{ messages[0].content }}"), model="m")
        with ExitStack() as stack:
            urls = [stack.enter_context(serving(app)) for _ in range(3)]
            router = Router(
                [
                    {
                        "model_name": "g",
                        "litellm_params": {
                            "model": "hosted_vllm/m",
                            "api_base": f"{url}/v1",
                            "api_key": "none",
                        },
                    }
                    for url in urls
                ]
            )
            homes = set()
            for text in "abcdefgh":
                talk: list[Any] = [user(text + LONG)]
                replies = [
                    await router.acompletion("g", messages=talk, max_tokens=1) for _ in range(4)
                ]
                used = {reply._hidden_params["api_base"] for reply in replies}
                assert len(used) == 1
                homes |= used
        assert len(homes) > 1
        assert guard._affinity.in_flight.counts == {}


def test_the_header_tells_where_a_request_went_and_the_log_does_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A line for each request would say nothing."""
    report = Report("group", "deployment")
    report.routed = "home"
    with caplog.at_level("INFO", logger="litellm_role_guard"):
        report.log()
    assert report.header() == "routed=home"
    assert caplog.text == ""
