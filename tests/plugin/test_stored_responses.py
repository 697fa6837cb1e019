"""Reading, listing and deleting stored responses through LiteLLM's own router."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import httpx
import litellm
import pytest
from litellm.exceptions import BadRequestError
from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler
from litellm.router import Router

from litellm_role_guard import ChatTemplate, RoleGuard
from litellm_role_guard.plugin import litellm_internals
from litellm_role_guard.plugin.borrowing_client import original_arguments
from litellm_role_guard.plugin.litellm_internals import named_by_backend
from litellm_role_guard.plugin.stored_responses import StoredAnswer, StoredResponseClient
from litellm_role_guard.simulator import create_app
from testing.litellm_calls import STRICT, call
from testing.litellm_release import told_of_stored_calls
from testing.serving import serving

URL = "http://backend/v1/responses/resp_1"
UNKNOWN = {"error": {"message": "nobody knows it"}}


@pytest.fixture
def router(guard: RoleGuard) -> Iterator[Router]:
    """Give a router with one simulated vLLM, which keeps no response."""
    with serving(create_app(ChatTemplate(STRICT), model="simulated")) as url:
        params = {"model": "hosted_vllm/simulated", "api_base": f"{url}/v1", "api_key": "none"}
        yield Router([{"model_name": "chat", "litellm_params": params}], num_retries=0)


@told_of_stored_calls
async def test_a_response_is_read_listed_and_deleted(router: Router, guard: RoleGuard) -> None:
    """A vLLM without a store answers none of it; the guard does, until it is deleted."""
    answer = await router.aresponses(model="chat", input="hello")
    read = await router.aget_responses(response_id=answer.id)
    assert read.id == answer.id
    assert read.output[0].content[0].text == answer.output[0].content[0].text
    (listed,) = (await router.alist_input_items(response_id=answer.id, order="asc"))["data"]
    assert listed["content"] == "hello"
    deleted = await router.adelete_responses(response_id=answer.id)
    assert (deleted.id, deleted.deleted) == (answer.id, True)
    with pytest.raises(BadRequestError, match="role guard: response_id: neither the backend"):
        await router.aget_responses(response_id=answer.id)
    with pytest.raises(BadRequestError, match="role guard: previous_response_id: neither"):
        await router.aresponses(model="chat", input="more", previous_response_id=answer.id)
    assert guard.counts["failed"] == 0


@told_of_stored_calls
async def test_without_the_setting_the_backend_answers(router: Router, guard: RoleGuard) -> None:
    """And where it does not know the response, the 400 names the setting that keeps responses."""
    litellm.callbacks = [RoleGuard(learn=False, remember_responses=False)]
    answer = await router.aresponses(model="chat", input="hello")
    for ask in (router.aget_responses, router.alist_input_items, router.adelete_responses):
        with pytest.raises(BadRequestError, match="remember_responses: false"):
            await ask(response_id=answer.id)


@pytest.mark.parametrize("mode", ["off", "observe", "reject"])
async def test_other_modes_leave_it_to_the_backend(mode: str) -> None:
    """Nothing about the call changes."""
    guard = RoleGuard(mode=mode, learn=False)
    kwargs = {**call(), "response_id": "resp_1"}
    for call_type in ("aget_responses", "adelete_responses", "alist_input_items"):
        assert await guard.async_pre_call_deployment_hook(kwargs, call_type) is None


async def test_without_litellms_handler_it_is_left_to_the_backend(
    guard: RoleGuard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A LiteLLM that has it elsewhere makes the call as ever."""
    monkeypatch.setattr(litellm_internals, "AVAILABLE", False)
    kwargs = {**call(), "response_id": "resp_1"}
    assert await guard.async_pre_call_deployment_hook(kwargs, "aget_responses") is None
    assert guard.counts["failed"] == 0


class OwnStore(AsyncHTTPHandler):
    """A backend that answers for its responses itself, with a status."""

    def __init__(self, status: int) -> None:
        self.status = status

    async def get(self, url: str, *args: Any, **kwargs: Any) -> httpx.Response:
        """Answer with the status."""
        return httpx.Response(
            self.status, json={"by": "backend"}, request=httpx.Request("GET", url)
        )

    async def delete(self, url: str, *args: Any, **kwargs: Any) -> httpx.Response:
        """Answer with the status; LiteLLM's handler raises for an error."""
        return (await self.get(url)).raise_for_status()


async def test_what_the_backend_knows_it_answers() -> None:
    """Its own store is asked about what the guard does not have."""
    client = StoredResponseClient(OwnStore(200), None, None, UNKNOWN)
    assert (await client.get(URL)).json() == {"by": "backend"}
    assert (await client.delete(URL)).json() == {"by": "backend"}


@pytest.mark.parametrize(("status", "seen"), [(404, 400), (405, 400), (500, 500), (401, 401)])
async def test_what_it_does_not_know_costs_it_no_cooldown(status: int, seen: int) -> None:
    """LiteLLM takes a deployment with a 404 out of use; every other error is the backend's."""
    client = StoredResponseClient(OwnStore(status), None, None, UNKNOWN)
    got = await client.get(URL)
    assert got.status_code == seen
    with pytest.raises(httpx.HTTPStatusError) as raised:
        await client.delete(URL)
    assert raised.value.response.status_code == seen
    if seen == 400:
        assert got.json() == raised.value.response.json() == UNKNOWN


@told_of_stored_calls
async def test_a_deleted_response_is_not_asked_of_the_backend(router: Router) -> None:
    """A backend that keeps responses itself would still know it."""
    answer = await router.aresponses(model="chat", input="hello")
    await router.adelete_responses(response_id=answer.id)
    for ask in (router.aget_responses, router.alist_input_items, router.adelete_responses):
        with pytest.raises(BadRequestError, match="role guard"):
            await ask(response_id=answer.id, client=OwnStore(200))


async def test_the_hook_may_run_twice_for_one_deletion(guard: RoleGuard) -> None:
    """Only the call itself deletes, whichever of the arguments LiteLLM goes on with."""
    pending = guard._responses.begin((None, None, None), "hi")
    assert pending is not None
    pending.answered({"id": "resp_1", "status": "completed", "output": []})
    kwargs = {**call(), "response_id": "resp_1", "client": OwnStore(404)}
    once = await guard.async_pre_call_deployment_hook(kwargs, "adelete_responses")
    assert once is not None
    twice = await guard.async_pre_call_deployment_hook(copy.copy(once), "adelete_responses")
    assert twice is not None
    assert original_arguments(twice) == kwargs
    deleted = await twice["client"].delete(URL)
    assert deleted.json() == {"id": "resp_1", "object": "response", "deleted": True}
    assert guard._responses.is_deleted((None, None, None), named_by_backend("resp_1"))


def test_a_copy_of_the_client_answers_the_same() -> None:
    """LiteLLM copies the arguments of a call for each fallback."""
    inner = OwnStore(200)
    client = StoredResponseClient(inner, {"client": inner}, StoredAnswer({"a": 1}), UNKNOWN)
    other = copy.deepcopy(client)
    assert isinstance(other, StoredResponseClient)
    assert other.answers
    assert other._inner is inner
