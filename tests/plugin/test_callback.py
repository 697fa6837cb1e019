"""The plugin in LiteLLM's own call path, in front of a backend that needs no network."""

from __future__ import annotations

import contextlib
import copy
import json
from typing import Any

import httpx
import litellm
import pytest
from litellm.exceptions import BadRequestError
from litellm.router import Router

from litellm_role_guard import ChatTemplate, RoleGuard
from litellm_role_guard.plugin.request import LiteLLMRequest
from litellm_role_guard.plugin.steering import NOT_STEERED
from litellm_role_guard.profile.refusals import Refusal, teach
from litellm_role_guard.simulator import create_app
from testing.litellm_calls import (
    KNOWS_NOTHING,
    MERGED,
    NEVER,
    REPLY,
    RUN,
    STRICT,
    SYSTEM,
    USER,
    Backend,
    ask,
    call,
    forget,
    of_deployment,
)
from testing.litellm_release import SDK_NAMES_CALLS
from testing.serving import serving


@pytest.mark.parametrize("stream", [False, True])
async def test_a_conversation_is_repaired_before_it_is_sent(
    backend: Backend, guard: RoleGuard, stream: bool
) -> None:
    """The backend gets the repaired messages in its one call; the client's stay as they were."""
    messages = copy.deepcopy(RUN)
    await ask(messages, stream=stream)
    assert [body["messages"] for body in backend.bodies] == [MERGED]
    assert messages == RUN
    assert guard.counts["repaired"] == 1


async def test_vendor_parameters_reach_the_backend(backend: Backend, guard: RoleGuard) -> None:
    """What vLLM alone knows arrives as it was sent, in a repaired request as well."""
    vendor = {"guided_choice": ["a"], "chat_template_kwargs": {"x": 1}, "echo": True}
    await ask(RUN, extra_body=vendor)
    assert {key: backend.bodies[0][key] for key in vendor} == vendor


@pytest.mark.parametrize("stream", [False, True])
async def test_a_refusal_costs_one_call_once(
    backend: Backend, guard: RoleGuard, stream: bool
) -> None:
    """With a wrong profile one more call is made, and from then on none."""
    await ask([USER])
    forget(guard)
    backend.bodies.clear()
    await ask(RUN, stream=stream)
    assert [body["messages"] for body in backend.bodies] == [RUN, MERGED]
    await ask(RUN, stream=stream)
    assert [body["messages"] for body in backend.bodies[2:]] == [MERGED]
    assert guard.counts["retried"] == 1


async def test_a_refusal_that_no_lesson_helps_teaches_nothing(
    backend: Backend, guard: RoleGuard
) -> None:
    """Where all calls fail the client gets the refusal, and other requests keep their profile."""
    await ask([USER])
    forget(guard)
    backend.template = ChatTemplate(NEVER)
    with pytest.raises(BadRequestError, match="whatever you do"):
        await ask(RUN)
    assert len(backend.bodies) <= 1 + 1 + 3
    assert all(known.profile is KNOWS_NOTHING for _, known in guard._deployments._known.values())


@pytest.fixture
async def unheard(backend: Backend, guard: RoleGuard, monkeypatch: pytest.MonkeyPatch) -> Backend:
    """Give the backend of a LiteLLM into which no client of the guard's can be put."""
    monkeypatch.setattr("litellm_role_guard.plugin.litellm_internals.AVAILABLE", False)
    await ask([USER], client=backend)
    forget(guard)
    return backend


named_calls = pytest.mark.skipif(
    not SDK_NAMES_CALLS, reason="this LiteLLM has no logging object yet when the hook runs"
)


def begun(text: str) -> list[Any]:
    """Give a conversation of its own that has to be repaired."""
    return [{"role": "user", "content": text}, *RUN[1:]]


@named_calls
async def test_without_the_client_litellms_own_retry_gets_the_lesson(
    unheard: Backend, guard: RoleGuard
) -> None:
    """Where LiteLLM's internals have changed, the same conversation's next attempt is repaired."""
    with pytest.raises(BadRequestError, match="must alternate"):
        await ask(begun("one"), client=unheard)
    await ask(begun("one"), client=unheard)
    assert unheard.bodies[-1]["messages"] == [*begun("one")[:2], MERGED[-1]]
    with pytest.raises(BadRequestError, match="must alternate"):
        await ask(begun("two"), client=unheard)
    assert all(known.profile is KNOWS_NOTHING for _, known in guard._deployments._known.values())


@named_calls
async def test_without_the_client_an_answer_to_the_retry_is_the_proof(
    unheard: Backend, guard: RoleGuard
) -> None:
    """Two conversations whose next attempt LiteLLM tells to be answered teach all."""
    for text in ("one", "two"):
        with pytest.raises(BadRequestError, match="must alternate"):
            await ask(begun(text), client=unheard)
        await ask(begun(text), client=unheard)
    await ask(begun("three"), client=unheard)
    assert unheard.bodies[-1]["messages"] == [*begun("three")[:2], MERGED[-1]]


async def test_without_the_client_what_is_refused_again_teaches_nothing(
    unheard: Backend, guard: RoleGuard
) -> None:
    """Nor does an answer of which nobody tells, a stream's, teach more than its conversation."""
    for text in ("one", "two"):
        unheard.template = ChatTemplate(NEVER)
        for _ in range(6):
            with pytest.raises(BadRequestError):
                await ask(begun(text), client=unheard)
        unheard.template = ChatTemplate(STRICT)
        for _ in range(2):
            with contextlib.suppress(BadRequestError):
                await ask(begun(f"{text} streamed"), client=unheard, stream=True)
    assert guard.counts["failed"] == 0
    assert all(known.profile is KNOWS_NOTHING for _, known in guard._deployments._known.values())


async def test_a_router_gives_each_deployment_its_own_repair(
    backend: Backend, guard: RoleGuard
) -> None:
    """A fallback repairs the client's own messages for the deployment that answers."""
    deployments = [
        {
            "model_name": name,
            "litellm_params": {"model": "hosted_vllm/m", "api_base": f"http://{name}/v1"},
            "model_info": {"role_guard": {"separator": f" {name} "}},
        }
        for name in ("first", "second")
    ]
    router = Router(model_list=deployments, fallbacks=[{"first": ["second"]}], num_retries=0)
    answered = backend.post

    async def fails_once(url: str, **kwargs: Any) -> httpx.Response:
        if "first" in url:
            backend.bodies.append(json.loads(kwargs["data"]))
            request = httpx.Request("POST", url)
            response = httpx.Response(500, request=request)
            raise httpx.HTTPStatusError("500", request=request, response=response)
        return await answered(url, **kwargs)

    backend.post = fails_once  # type: ignore[method-assign]
    await router.acompletion(model="first", messages=copy.deepcopy(RUN))  # type: ignore[arg-type]
    sent = [body["messages"][-1]["content"] for body in backend.bodies]
    assert sent == ["hi first still there?", "hi second still there?"]


@pytest.mark.parametrize(
    ("fallback", "answered"), [("openai/simulated", RUN), ("hosted_vllm/simulated", MERGED)]
)
async def test_a_fallback_of_the_sdk_starts_from_the_clients_own_request(
    guard: RoleGuard, fallback: str, answered: list[Any]
) -> None:
    """LiteLLM hands our arguments on to its fallbacks; each gets what the client gave, or its own
    repair of it, and another provider no client that is not its."""
    app = create_app(ChatTemplate("{{ messages }}"), model="simulated")
    with serving(app) as url:
        await litellm.acompletion(
            model="hosted_vllm/other",
            messages=copy.deepcopy(RUN),
            fallbacks=[fallback],
            api_base=f"{url}/v1",
            api_key="none",
        )
        received = httpx.get(f"{url}/control/requests").json()
    assert [call["status"] for call in received] == [404, 200]
    assert [call["body"]["messages"] for call in received] == [MERGED, answered]


async def test_a_call_that_litellm_repeats_is_a_call_as_the_client_made_it(
    guard: RoleGuard,
) -> None:
    """Arguments that the guard has changed before are taken back to what they were, even where it
    does nothing or fails."""
    kwargs = call()
    changed = await guard.async_pre_call_deployment_hook(kwargs, "acompletion")
    assert changed is not None
    again = await guard.async_pre_call_deployment_hook(changed, "acompletion")
    assert again is not None
    assert again["messages"] == MERGED
    assert again["client"].given == {"client": None, "messages": RUN}
    for other in ({"model": "openai/m"}, {"model_info": of_deployment(mdoe="repair")}):
        given = await guard.async_pre_call_deployment_hook({**changed, **other}, "acompletion")
        assert given == {**kwargs, **other}


async def test_the_models_of_a_wildcard_deployment_are_told_apart(guard: RoleGuard) -> None:
    """One deployment that serves many models learns of each on its own."""
    calls = [
        call([SYSTEM, USER], model=f"hosted_vllm/{name}", model_info={"id": "d"}) for name in "ab"
    ]
    first, _ = guard._groups.deployment(LiteLLMRequest(calls[0]), NOT_STEERED)
    first.install(teach(first.profile, Refusal("system_role")))
    changed = [await guard.async_pre_call_deployment_hook(each, "acompletion") for each in calls]
    assert [len(each["messages"]) for each in changed if each is not None] == [1, 2]


async def test_developer_is_judged_as_the_system_message_that_litellm_sends(
    backend: Backend, guard: RoleGuard
) -> None:
    """A leading developer message is no reason for a repair on chat completions."""
    await ask([{"role": "developer", "content": "be kind"}, USER])
    assert backend.bodies[0]["messages"] == [SYSTEM, USER]
    assert guard.counts["repaired"] == 0


@pytest.mark.parametrize(
    ("last", "fields"),
    [
        (REPLY, {"continue_final_message": True, "add_generation_prompt": False}),
        (REPLY, {"extra_body": {"continue_final_message": True}}),
        ({**REPLY, "prefix": True}, {}),
    ],
)
async def test_a_prefill_is_left_alone(
    guard: RoleGuard, last: dict[str, Any], fields: dict[str, Any]
) -> None:
    """The opening of the reply stays the last message, even where turns before it are joined."""
    kwargs = call([*RUN, last], **fields)
    changed = await guard.async_pre_call_deployment_hook(kwargs, "acompletion")
    assert changed is not None
    assert changed["messages"] == [*MERGED, last]
