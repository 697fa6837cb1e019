"""Requests to /v1/responses, with and without the response that they continue."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from litellm.exceptions import BadRequestError

from litellm_role_guard import RoleGuard
from litellm_role_guard.plugin.borrowing_client import original_arguments
from litellm_role_guard.plugin.response_capture import ResponseListener
from litellm_role_guard.plugin.retrying_client import RetryingClient
from testing.litellm_calls import USER, Backend, ask, call


async def test_responses_are_repaired_in_their_own_form(guard: RoleGuard) -> None:
    """`input` is repaired as items, `instructions` stay."""
    kwargs = call(input=[USER, USER], instructions="be kind")
    changed = await guard.async_pre_call_deployment_hook(kwargs, "aresponses")
    assert changed is not None
    assert changed["input"] == [{"role": "user", "content": "hi\n\nhi"}]
    assert changed["instructions"] == "be kind"


async def test_a_rejected_response_names_the_places_in_its_input() -> None:
    """In mode reject on responses the 400 counts the items, whatever `instructions` add."""
    guard = RoleGuard(mode="reject", learn=False)
    kwargs = call(input=[USER, USER], instructions="be kind")
    with pytest.raises(BadRequestError, match=r"input\[0\], input\[1\]: merged: two turns"):
        await guard.async_pre_call_deployment_hook(kwargs, "aresponses")


async def test_messages_of_earlier_answers_can_be_sent_back(
    backend: Backend, guard: RoleGuard
) -> None:
    """LiteLLM's own message objects among the messages are read and repaired like all others."""
    answer = await ask([USER])
    await ask([USER, answer.choices[0].message, USER, USER])
    assert backend.bodies[1]["messages"] == [
        USER,
        {"role": "assistant", "content": "ok"},
        {"role": "user", "content": "hi\n\nhi"},
    ]


async def test_what_continues_an_unknown_response_is_sent_as_it_is(
    backend: Backend, guard: RoleGuard
) -> None:
    """With such a `previous_response_id` the backend adds messages that the guard cannot see."""
    result = {"type": "function_call_output", "call_id": "c", "output": ""}
    for items in ([USER, USER], [result]):
        kwargs = call(input=items, previous_response_id="resp_1")
        changed = await guard.async_pre_call_deployment_hook(kwargs, "aresponses")
        assert changed is not None
        assert isinstance(changed.pop("client"), RetryingClient)
        assert changed == kwargs
    assert guard.counts["bad_input"] == 0


@pytest.mark.parametrize("mode", ["observe", "reject", "off"])
async def test_only_a_repair_looks_at_a_continued_response(backend: Backend, mode: str) -> None:
    """In any other mode it goes on as it is, through LiteLLM's own client."""
    guard = RoleGuard(mode=mode, learn=False)
    kwargs = call(input=[USER], previous_response_id="resp_1")
    assert await guard.async_pre_call_deployment_hook(kwargs, "aresponses") is None


def remembering(guard: RoleGuard, request_input: Any, name: str = "resp_1") -> None:
    """Have a guard remember a response with an empty answer to somebody without a key."""
    question = guard._responses.begin((None, None, None), request_input)
    assert question is not None
    question.answered({"id": name, "status": "completed", "output": []})


async def test_what_continues_a_known_response_is_repaired_as_a_whole(
    backend: Backend, guard: RoleGuard
) -> None:
    """What came before is put in front, once, however many deployments the request passes."""
    remembering(guard, "hi")
    kwargs = call(input=[USER], previous_response_id="resp_1")
    given = copy.copy(kwargs)
    for _ in range(2):
        changed = await guard.async_pre_call_deployment_hook(kwargs, "aresponses")
        assert changed is not None
        assert changed["input"] == [{"role": "user", "content": "hi\n\nhi"}]
        assert changed["previous_response_id"] is None
        assert original_arguments(changed) == given
        kwargs = changed
    headers = await guard.async_post_call_response_headers_hook(given, None, None)
    assert headers == {"x-role-guard": "merged=1; remembered=1"}


async def test_what_vllm_cannot_read_is_remembered_and_translated(
    backend: Backend, guard: RoleGuard
) -> None:
    """An item of a kind that vLLM does not take is put in front in a form that it takes."""
    search = {"type": "web_search_call", "id": "w", "status": "completed"}
    remembering(guard, [USER, search])
    kwargs = call(input=[USER], previous_response_id="resp_1")
    changed = await guard.async_pre_call_deployment_hook(kwargs, "aresponses")
    assert changed is not None
    asked, called, result, again = changed["input"]
    assert [asked, again] == [USER, USER]
    assert [called["name"], result["output"]] == ["web_search", "completed"]
    assert changed["previous_response_id"] is None
    headers = await guard.async_post_call_response_headers_hook(kwargs, None, None)
    assert headers == {"x-role-guard": "items=1; remembered=1"}


async def test_what_cannot_be_remembered_is_repaired(backend: Backend, guard: RoleGuard) -> None:
    """An error of the memory's own is counted, and costs the memory alone."""
    kwargs = call(input=[{**USER, "note": object()}, USER])
    changed = await guard.async_pre_call_deployment_hook(kwargs, "aresponses")
    assert changed is not None
    assert [item["content"] for item in changed["input"]] == ["hi\n\nhi"]
    parts = changed["client"]._parts
    assert not any(isinstance(part, ResponseListener) for part in parts)
    assert guard.counts["failed"] == 1
