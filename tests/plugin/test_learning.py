"""The plugin asks a live backend by itself: what it repairs for is what is there now."""

from __future__ import annotations

import asyncio
import copy
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import litellm
import pytest
from litellm.exceptions import BadRequestError
from litellm.router import Router

from litellm_role_guard import ChatTemplate, RoleGuard, TemplateProfile
from litellm_role_guard.probing.telling import TELLING
from testing.clock import StoppedClock
from testing.gpu import NO_TOOLS, PLAIN, RIDDLE, SHOUTING, STRICT, USER, WITH_TOOLS, Gpu, gpu

# By what a profile is known again: these, and what goes before them.
ASKED_AGAIN = len(TELLING) + 2
REPLY = {"role": "assistant", "content": "hello"}
RUN = [USER, REPLY, USER, {"role": "user", "content": "still there?"}]


@pytest.fixture
def guard() -> Iterator[RoleGuard]:
    """Give a guard that LiteLLM calls, patient enough for slow machines."""
    before = litellm.callbacks
    made = RoleGuard(clock=StoppedClock(), learn_wait=30)
    litellm.callbacks = [made]
    yield made
    litellm.callbacks = before


async def ask(served: Gpu, messages: list[Any], **kwargs: Any) -> Any:
    """Ask a backend through LiteLLM."""
    return await litellm.acompletion(
        model="hosted_vllm/m",
        api_base=f"{served.url}/v1",
        messages=copy.deepcopy(messages),
        **kwargs,
    )


async def settled(guard: RoleGuard) -> None:
    """Wait until nothing is learnt any more."""
    while any(each._is_asking() for each in guard._deployments._learning):
        await asyncio.sleep(0.01)


def profiles(guard: RoleGuard) -> list[TemplateProfile]:
    """Give what is known of the deployments."""
    return [deployment.profile for _, deployment in guard._deployments._known.values()]


def rested(guard: RoleGuard) -> None:
    """Let the time pass in which a refusal is no reason to ask again."""
    assert isinstance(guard._clock, StoppedClock)
    guard._clock.put_forward()


async def test_the_first_request_is_repaired_for_the_template_that_is_there(
    guard: RoleGuard,
) -> None:
    """Tool turns that a backend drops in silence are read, without any setting."""
    with gpu(NO_TOOLS) as served:
        await ask(served, WITH_TOOLS)
        (call,) = served.calls()
    assert "ten past six" in call["prompt"]
    assert "clock" in call["prompt"]


async def test_what_the_template_takes_is_not_touched(guard: RoleGuard) -> None:
    """Where the cautious profile joins, the true one leaves a lenient backend's turns alone."""
    with gpu(PLAIN) as served:
        await ask(served, RUN)
        (call,) = served.calls()
    assert call["body"]["messages"] == RUN


async def test_fifty_first_requests_learn_once(guard: RoleGuard) -> None:
    """All of them are right."""
    with gpu(NO_TOOLS) as served:
        await asyncio.gather(*(ask(served, WITH_TOOLS) for _ in range(50)))
        assert all("ten past six" in call["prompt"] for call in served.calls())
        assert len(served.calls()) == 50
        assert guard.counts["learnt"] == 1
        bodies = [str(request["body"]) for request in served.received("/tokenize")]
    assert len(bodies) - len(set(bodies)) <= 2 + ASKED_AGAIN


async def test_a_lone_message_does_not_wait(guard: RoleGuard) -> None:
    """Every template takes it, whatever is learnt."""
    with gpu(PLAIN) as served:
        httpx.post(f"{served.url}/control", json={"fault": "hang", "paths": ["/tokenize"]})
        await asyncio.wait_for(ask(served, [USER]), 20)
        assert guard.counts["learnt"] == 0
        httpx.post(f"{served.url}/control", json={"fault": None})
        await settled(guard)
    assert guard.counts["learnt"] == 1


async def test_a_hung_tokenize_costs_no_answer() -> None:
    """The request goes on with the cautious profile when the budget is used up."""
    before = litellm.callbacks
    impatient = RoleGuard(learn_wait=0.1)
    litellm.callbacks = [impatient]
    try:
        with gpu(STRICT) as served:
            httpx.post(f"{served.url}/control", json={"fault": "hang", "paths": ["/tokenize"]})
            await asyncio.wait_for(ask(served, RUN), 20)
            (call,) = served.calls()
            httpx.post(f"{served.url}/control", json={"fault": None})
            await settled(impatient)
    finally:
        litellm.callbacks = before
    assert call["status"] == 200


async def test_a_backend_that_cannot_be_asked_is_guarded_as_before(guard: RoleGuard) -> None:
    """Where `/tokenize` fails, the cautious profile repairs."""
    with gpu(STRICT) as served:
        httpx.post(f"{served.url}/control", json={"fault": "error", "paths": ["/tokenize"]})
        await ask(served, RUN)
        await ask(served, RUN)
        assert [call["status"] for call in served.calls()] == [200, 200]
        assert len(served.received("/tokenize")) == 1
    assert guard.counts["learning_failed"] == 1


async def test_a_replaced_backend_is_learnt_within_one_request(guard: RoleGuard) -> None:
    """The refusal is answered by one repaired call, and the true profile follows."""
    with gpu(PLAIN) as served:
        await ask(served, RUN)
        served.serve(STRICT)
        rested(guard)
        await ask(served, RUN)
        assert [call["status"] for call in served.calls()] == [400, 200]
        await settled(guard)
        assert profiles(guard) == [TemplateProfile.learn(STRICT)]
        await ask(served, RUN)
        assert [call["status"] for call in served.calls()] == [400, 200, 200]


async def test_words_that_nobody_knows_are_learnt_from(guard: RoleGuard) -> None:
    """The backend is asked what it takes now, and the same request is answered."""
    with gpu(PLAIN) as served:
        await ask(served, RUN)
        served.serve(RIDDLE)
        rested(guard)
        await ask(served, RUN)
        assert [call["status"] for call in served.calls()] == [400, 200]
    assert profiles(guard) == [TemplateProfile.learn(RIDDLE)]


async def test_words_that_are_not_the_templates_are_passed_on(guard: RoleGuard) -> None:
    """Where `/tokenize` takes what was refused, nothing is learnt and nothing sent again."""
    with gpu(PLAIN) as served:
        await ask(served, RUN)
        rested(guard)
        with pytest.raises(BadRequestError):
            await ask(served, RUN, extra_body={"echo": "perhaps"})
        assert [call["status"] for call in served.calls()] == [200, 400]
    assert guard.counts["learnt"] == 1


# Refuses a word, and not a shape, so that no question finds it out.
PICKY = ChatTemplate(
    "{% for m in messages %}{% if m.role == 'system' and 'hush' in m.content %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
    "<{{ m.role }}>{{ m.content }}{% endfor %}"
)


def hushed(text: str, system: str = "hush") -> list[dict[str, Any]]:
    """Return a conversation that `PICKY` refuses."""
    return [{"role": "system", "content": system}, {"role": "user", "content": text}]


async def test_a_lesson_that_the_backend_does_not_bear_out_is_one_conversations(
    guard: RoleGuard,
) -> None:
    """Asked again, it says what it said before: what helped one is remembered for that one."""
    with gpu(PICKY) as served:
        await ask(served, RUN)
        rested(guard)
        await ask(served, hushed("one"))
        await settled(guard)
        await ask(served, [*hushed("one"), REPLY, USER])
        assert [call["status"] for call in served.calls()] == [200, 400, 200, 200]
        await ask(served, hushed("two", system="be kind"))
        assert served.calls()[-1]["body"]["messages"] == hushed("two", system="be kind")


async def test_a_fresh_profile_replaces_the_lessons_that_it_does_not_bear_out(
    guard: RoleGuard,
) -> None:
    """Also where it is the one before; two conversations may prove them again."""
    with gpu(PICKY) as served:
        await ask(served, RUN)

        async def statuses(messages: list[dict[str, Any]]) -> list[int]:
            before = len(served.calls())
            await ask(served, messages)
            return [call["status"] for call in served.calls()[before:]]

        for number in range(2):
            for text in ("one", "two"):
                assert await statuses(hushed(f"{text} {number}")) == [400, 200]
            await settled(guard)
            assert await statuses(hushed(f"three {number}")) == [200]
            assert "system" not in served.calls()[-1]["prompt"]
            rested(guard)  # the refusals are now a reason to ask the backend
            await ask(served, [USER])
            await settled(guard)
            assert guard.counts["learnt"] == 2 + number
            sound = hushed(f"four {number}", system="be kind")
            assert await statuses(sound) == [200]
            assert served.calls()[-1]["body"]["messages"] == sound
            assert await statuses([*hushed(f"two {number}"), REPLY, USER]) == [200]


async def test_the_variables_of_the_call_go_with_the_questions(guard: RoleGuard) -> None:
    """What `chat_template_kwargs` change about a template is part of what is learnt."""
    late = [USER, REPLY, {"role": "system", "content": "be kind"}, USER]
    with gpu(SHOUTING) as served:
        await ask(served, late, extra_body={"chat_template_kwargs": {"loud": True}})
        (call,) = served.calls()
        asked = served.received("/tokenize")
    assert call["status"] == 200
    told = [r["body"].get("chat_template_kwargs") for r in asked if "messages" in r["body"]]
    assert told
    assert all(variables == {"loud": True} for variables in told)
    assert "system" not in {message["role"] for message in call["body"]["messages"]}


async def test_a_routers_deployments_are_learnt_each_on_its_own(guard: RoleGuard) -> None:
    """With its own address, key and headers."""
    with gpu(NO_TOOLS) as first, gpu(PLAIN) as second:
        deployments = [
            {
                "model_name": name,
                "litellm_params": {"model": "hosted_vllm/m", "api_base": f"{served.url}/v1"},
            }
            for name, served in (("first", first), ("second", second))
        ]
        router = Router(model_list=deployments, num_retries=0)
        for name in ("first", "second"):
            await router.acompletion(model=name, messages=copy.deepcopy(WITH_TOOLS))  # type: ignore[arg-type]
        assert "ten past six" in first.calls()[0]["prompt"]
        assert "ten past six" in second.calls()[0]["prompt"]
    one, other = profiles(guard)
    assert one.follows["user"]["system"] != other.follows["user"]["system"]
    assert guard.counts["learnt"] == 2


async def test_a_deployment_is_asked_as_it_is_and_not_as_a_client_calls_it(
    guard: RoleGuard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the proxy its own key, headers and variables go with the questions, no client's."""
    late = [USER, REPLY, {"role": "system", "content": "be kind"}, USER]
    with gpu(SHOUTING) as served:
        params = {
            "model": "hosted_vllm/m",
            "api_base": f"{served.url}/v1",
            "api_key": "sk-gpu",
            "extra_headers": {"x-gate": "open"},
            "chat_template_kwargs": {"loud": True},
        }
        router = Router(model_list=[{"model_name": "g", "litellm_params": params}], num_retries=0)
        proxy_server = SimpleNamespace(llm_router=router)
        monkeypatch.setitem(sys.modules, "litellm.proxy.proxy_server", proxy_server)
        await router.acompletion(
            model="g",
            messages=copy.deepcopy(late),  # type: ignore[arg-type]
            extra_headers={"x-client": "me"},
            chat_template_kwargs={"loud": False, "mine": 1},
        )
        asked = [r["body"] for r in served.received("/tokenize") if "messages" in r["body"]]
    assert asked
    assert all(body["chat_template_kwargs"] == {"loud": True} for body in asked)
    for headers in served.headers:
        assert headers["authorization"] == "Bearer sk-gpu"
        assert headers["x-gate"] == "open"
        assert "x-client" not in headers


@pytest.mark.parametrize("missing", ["address", "handler"])
async def test_without_what_litellm_calls_with_nothing_breaks(
    guard: RoleGuard, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    """An address may come from the environment; connections are made where LiteLLM has none."""
    with gpu(NO_TOOLS) as served:
        monkeypatch.setenv("HOSTED_VLLM_API_BASE", f"{served.url}/v1")
        if missing == "handler":
            monkeypatch.setattr("litellm_role_guard.plugin.litellm_internals.AVAILABLE", False)
        model = "hosted_vllm/m"
        await litellm.acompletion(model=model, messages=copy.deepcopy(WITH_TOOLS))
        (call,) = served.calls()
    assert "ten past six" in call["prompt"]


async def test_how_a_backend_is_asked_cannot_be_told(
    guard: RoleGuard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error there costs what would have been learnt, and not the repair."""

    def broken(*args: Any) -> Any:
        raise TypeError("moved")

    monkeypatch.setattr("litellm_role_guard.plugin.request.backend_of", broken)
    with gpu(STRICT) as served:
        await ask(served, RUN)
        assert [call["status"] for call in served.calls()] == [200]
    assert (guard.counts["learning_failed"], guard.counts["failed"]) == (1, 0)


def test_every_loop_of_an_application_can_ask(guard: RoleGuard) -> None:
    """An SDK user may call `asyncio.run` several times, and leave in the midst of it."""
    with gpu(NO_TOOLS) as served:
        httpx.post(f"{served.url}/control", json={"fault": "hang", "paths": ["/tokenize"]})
        asyncio.run(ask(served, [USER]))
        httpx.post(f"{served.url}/control", json={"fault": None})
        for _ in range(2):
            asyncio.run(ask(served, WITH_TOOLS))
        calls = served.calls()
    assert all("ten past six" in call["prompt"] for call in calls[1:])
    assert guard.counts["learnt"] == 1
    assert guard.counts["failed"] == 0
