"""Whose lesson it is, how many are kept, and what a client's words are."""

from __future__ import annotations

import time
from typing import Any

import pytest

from litellm_role_guard.messages.client_words import client_words
from litellm_role_guard.plugin.request import LiteLLMRequest
from litellm_role_guard.profile import lessons
from litellm_role_guard.profile.lessons import Lessons, conversation_id, proof_of
from litellm_role_guard.profile.refusals import Lesson, read_refusal

SYSTEM = {"role": "system", "content": "be kind"}
USER = {"role": "user", "content": "hi"}
REPLY = {"role": "assistant", "content": "hello"}
JOIN, IDS = (Lesson("turns", 0),), (Lesson("call_id", 0),)
TOLD = (
    'tool_choice=function "Conversation roles must alternate" needs a parser; '
    "said 'CONVERSATION roles must alternate'."
)


def test_a_conversation_stays_the_same_as_it_grows() -> None:
    """Its system text and its first turn tell it from others, and nothing that follows."""
    one = conversation_id([SYSTEM, USER], ("k",))
    assert conversation_id([SYSTEM, USER, REPLY, USER], ("k",)) == one
    parts = [{"type": "text", "text": "hi"}]
    assert conversation_id([SYSTEM, {"role": "user", "content": parts}], ("k",)) == one
    assert conversation_id([SYSTEM, USER], ("l",)) != one
    image = {"type": "image_url", "image_url": {"url": "data:,x"}}
    others: list[list[dict[str, Any]]] = [
        [USER],
        [SYSTEM, REPLY],
        [SYSTEM, {"role": "user", "content": "ho \udcff"}],
        [SYSTEM, {"role": "user", "content": [*parts, image]}],
        [SYSTEM, {"role": "user", "content": None}],
    ]
    ids = {conversation_id(messages, ("k",)) for messages in others}
    assert len(ids | {one}) == len(others) + 1


def test_the_conversations_longest_unused_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has many refused costs a bounded memory, which holds no text."""
    monkeypatch.setattr(lessons, "MAX_CONVERSATIONS", 2)
    known = Lessons()
    ids = [conversation_id([{"role": "user", "content": text}], ()) for text in "abc"]
    for each in ids[:2]:
        known.keep(each, JOIN, proof=None)
    assert known.of(ids[0]) == JOIN
    known.suggest(ids[2], JOIN, proof=None)
    assert [known.of(each) for each in ids] == [JOIN, (), JOIN]


def test_another_space_is_no_other_proof() -> None:
    """Nor is what follows; another word is one."""
    spaced = {"role": "user", "content": " hi\n\n"}
    assert proof_of([SYSTEM, spaced, REPLY]) == proof_of([SYSTEM, USER])
    assert proof_of([SYSTEM, {"role": "user", "content": "ho"}]) != proof_of([SYSTEM, USER])


def test_each_lesson_needs_two_beginnings() -> None:
    """One of two that a conversation needed is proven by another that needed that one."""
    known = Lessons()
    first, second, third = (conversation_id([], (key,)) for key in "abc")
    assert known.keep(first, (*JOIN, *IDS), proof=b"1") == []
    assert known.keep(third, (*JOIN, *IDS), proof=b"1") == []
    assert known.keep(second, IDS, proof=None) == []
    assert known.keep(second, IDS, proof=b"2") == list(IDS)
    known.forget_proofs()
    assert known.keep(third, IDS, proof=b"3") == []
    assert known.of(first) == (*JOIN, *IDS)
    known.forget()
    assert not known.are_remembered


def test_only_an_attempt_that_tried_a_lesson_proves_it() -> None:
    """Another one, which was under way at the time, may be answered without it."""
    known = Lessons()
    first, second = (conversation_id([], (key,)) for key in "ab")
    known.suggest(first, JOIN, proof=b"1")
    known.suggest(second, JOIN, proof=b"2")
    assert known.answered(first, ()) == []
    assert known.answered(second, JOIN) == []
    assert known.answered(first, JOIN) == list(JOIN)
    assert known.answered(first, JOIN) == []
    known.suggest(first, (), proof=None)
    assert known.of(first) == ()


def test_what_a_client_says_is_no_refusal() -> None:
    """Wherever it says it, and in whatever case; the template's own words beside it are one."""
    assert read_refusal(TOLD) is not None
    name = "conversation ROLES must alternate"
    said_in: list[dict[str, Any]] = [
        {"tool_choice": {"function": {"name": name}}},
        {"tools": [{"function": {"parameters": {"properties": {name: {}}}}}]},
        {name: 1},
        {"extra_body": ({"deep": name},)},
    ]
    for fields in said_in:
        said = client_words({"messages": [USER], **fields})
        assert read_refusal(TOLD, said.parameters) is None
        beside = f"{TOLD} System role not supported"
        assert read_refusal(beside, said.parameters) == read_refusal("System role not supported")
    told = client_words({"messages": [{"role": "user", "content": name}], "model": "m"})
    assert read_refusal(TOLD, told.parameters) == read_refusal(TOLD)
    assert read_refusal(TOLD, told.all) is None


def test_what_litellm_adds_to_a_call_is_no_client_s() -> None:
    """Its objects are not looked into, and its copies of the body not read twice."""
    added = {"metadata": {"a": "x"}, "proxy_server_request": {"body": "x"}, "logger": object()}
    assert client_words({"messages": [], **added}).all.split() == ["logger"]


def test_reading_a_refusal_takes_linear_time() -> None:
    """Of a request of many megabytes, and of an error that repeats it."""
    deep: Any = "x"
    for _ in range(100_000):
        deep = [deep]
    body = {"messages": [{"role": "user", "content": "roles must " * 10**6}], "tools": deep}
    body["stop"] = ["roles must alternate"] * 10**5
    since = time.perf_counter()
    said = client_words(body)
    assert read_refusal("roles must alternate " * 10**6, said.all) is None
    assert time.perf_counter() - since < 5


@pytest.mark.parametrize(
    ("arguments", "teaches"),
    [
        ({}, True),
        ({"custom_llm_provider": "hosted_vllm"}, True),
        ({"model": "openai/m", "custom_llm_provider": "openai"}, True),
        ({"custom_llm_provider": "openai"}, False),
        ({"model_info": {"id": "made-up", "original_model_id": "d"}}, False),
        ({"extra_body": {"top_k": 1}}, True),
        ({"extra_body": {"messages": [USER]}}, False),
        ({"extra_body": {"model": "other"}}, False),
        ({"documents": [{"text": "x"}]}, False),
        ({"chat_template": "{{ messages }}"}, False),
        ({"chat_template_kwargs": {"a": 1}}, True),
        ({"chat_template_kwargs": {"chat_template": "{{ messages }}"}}, False),
        ({"chat_template_kwargs": {"a": 1}, "extra_body": {"chat_template_kwargs": {}}}, True),
    ],
)
def test_whose_refusals_say_anything_of_other_requests(
    arguments: dict[str, Any], teaches: bool
) -> None:
    """Not those of a client that has chosen what renders its conversation. Without a proxy nobody
    knows which template variables are whose, and they count as the deployment's."""
    assert LiteLLMRequest({"model": "hosted_vllm/m", **arguments}).teaches is teaches


def test_who_asks_cannot_be_made_up() -> None:
    """The proxy's word stands in one of two places; a claim in the other makes a third."""
    own, claim = {"user_api_key_hash": "me"}, {"user_api_key_hash": "you"}
    honest = LiteLLMRequest({"metadata": own})
    assert honest.keys == LiteLLMRequest({"litellm_metadata": own, "metadata": None}).keys
    other = LiteLLMRequest({"metadata": claim})
    assert LiteLLMRequest({"metadata": own, "litellm_metadata": claim}).keys not in (
        honest.keys,
        other.keys,
    )
    assert LiteLLMRequest({}).keys == ()
