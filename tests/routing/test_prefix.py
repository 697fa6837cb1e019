"""The choice of a backend: the laws of routing, and what an opening is."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litellm_role_guard import TemplateProfile, repair
from litellm_role_guard.routing.prefix import (
    LOAD_BOUND,
    ROOM,
    Candidate,
    choose,
    prefix_key,
)
from testing.conversations import assistant, parts, system, user
from testing.routed import LONG
from testing.size import examples

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
    @examples(quick=100, full=300)
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
