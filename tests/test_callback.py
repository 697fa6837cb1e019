"""The plugin in LiteLLM's own call path, in front of a backend that needs no network."""

from __future__ import annotations

import copy
import json
import logging
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import litellm
import pytest
from litellm.exceptions import BadRequestError
from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler
from litellm.proxy._types import ProxyException
from litellm.router import Router

from litellm_role_guard import ChatTemplate, RoleGuard, TemplateProfile, TemplateRefused
from litellm_role_guard.plugin.retrying_client import RetryingClient, original_arguments
from litellm_role_guard.plugin.settings import SettingsError
from litellm_role_guard.profile.refusals import Refusal
from litellm_role_guard.simulator import create_app
from tests.serving import serving

STRICT = """
{%- if messages[0].role == 'system' -%}
  {{ '<s>' + messages[0].content }}{% set turns = messages[1:] %}
{%- else -%}{% set turns = messages %}{%- endif -%}
{%- for turn in turns -%}
  {%- if (turn.role == 'user') != (loop.index0 % 2 == 0) -%}
    {{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}
  {%- endif -%}
  {{ '<' + turn.role + '>' + turn.content }}
{%- endfor -%}
"""
NEVER = "{{ raise_exception('Conversation roles must alternate, whatever you do') }}"
KNOWS_NOTHING = TemplateProfile()

USER = {"role": "user", "content": "hi"}
REPLY = {"role": "assistant", "content": "hello"}
SYSTEM = {"role": "system", "content": "be kind"}
RUN = [USER, REPLY, USER, {"role": "user", "content": "still there?"}]
MERGED = [USER, REPLY, {"role": "user", "content": "hi\n\nstill there?"}]


class Backend(AsyncHTTPHandler):
    """A vLLM behind LiteLLM's own handler class; it keeps the bodies it gets."""

    def __init__(self, template: str) -> None:
        self.template = ChatTemplate(template)
        self.bodies: list[dict[str, Any]] = []

    async def post(self, url: str, **kwargs: Any) -> httpx.Response:
        """Answer as vLLM does: 200, or the template's refusal as a 400."""
        body = kwargs.get("json") or json.loads(kwargs["data"])
        self.bodies.append(body)
        request = httpx.Request("POST", url)
        try:
            self.template.render(body["messages"])
        except TemplateRefused as refusal:
            error = {"message": str(refusal), "type": "BadRequestError", "code": 400}
            response = httpx.Response(400, json={"error": error}, request=request)
            raise httpx.HTTPStatusError("400", request=request, response=response) from None
        if body.get("stream"):
            return httpx.Response(200, content=_stream(), request=request)
        message = {"role": "assistant", "content": "ok"}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        answer = {"id": "1", "object": "chat.completion", "created": 1, "model": "m"}
        return httpx.Response(200, json={**answer, "choices": choices}, request=request)


class LoggingObject:
    """What LiteLLM's logging object is to the guard: a key that all hooks of a request share."""


async def _stream() -> AsyncIterator[bytes]:
    head = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    for delta, reason in (({"role": "assistant", "content": "ok"}, None), ({}, "stop")):
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        yield f"data: {json.dumps({**head, 'choices': [choice]})}\n\n".encode()
    yield b"data: [DONE]\n\n"


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Backend:
    """Give the backend that every hosted_vllm call of LiteLLM reaches."""
    strict = Backend(STRICT)
    monkeypatch.setattr(
        "litellm_role_guard.plugin.litellm_internals.get_async_httpx_client", lambda **_: strict
    )
    return strict


@pytest.fixture
def guard() -> Iterator[RoleGuard]:
    """Give a cautious guard that LiteLLM calls."""
    before = litellm.callbacks
    made = RoleGuard(learn=False)
    litellm.callbacks = [made]
    yield made
    litellm.callbacks = before


async def ask(messages: Any, **kwargs: Any) -> Any:
    """Ask the backend through LiteLLM; read a stream to its end."""
    answer = await litellm.acompletion(
        model="hosted_vllm/m", api_base="http://backend/v1", messages=messages, **kwargs
    )
    return [chunk async for chunk in answer] if kwargs.get("stream") else answer


def call(messages: Any = RUN, **kwargs: Any) -> dict[str, Any]:
    """Give the arguments with which LiteLLM calls the deployment hook."""
    arguments = {"model": "hosted_vllm/m", "api_base": "http://b/v1", "messages": messages}
    return {**arguments, "litellm_logging_obj": LoggingObject(), **kwargs}


def of_deployment(**settings: Any) -> dict[str, Any]:
    """Give a deployment's model_info with its own settings."""
    return {"id": "d1", "role_guard": settings}


def forget(guard: RoleGuard) -> None:
    """Make the profile of every known deployment wrong: nothing is in anyone's way."""
    for _, deployment in guard._deployments._known.values():
        deployment.profile = KNOWS_NOTHING


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


async def test_without_the_client_litellms_own_retry_gets_the_lesson(
    backend: Backend, guard: RoleGuard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where LiteLLM's internals have changed, the failure hook learns for the next attempt."""
    monkeypatch.setattr("litellm_role_guard.plugin.litellm_internals.AVAILABLE", False)
    await ask([USER], client=backend)
    forget(guard)
    with pytest.raises(BadRequestError, match="must alternate"):
        await ask(RUN, client=backend)
    await ask(RUN, client=backend)
    assert backend.bodies[-1]["messages"] == MERGED


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
    guard._deployment(calls[0]).learn(Refusal("system_role"))
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


@pytest.mark.parametrize(
    "kwargs",
    [
        call(model="openai/m"),
        call(model="openai/m", custom_llm_provider="openai"),
        {key: value for key, value in call().items() if key != "messages"},
        call(chat_template="{{ messages }}"),
        call(extra_body={"chat_template": "{{ messages }}"}),
        call(model_info=of_deployment(mode="off")),
    ],
)
async def test_what_is_not_the_guards_passes_untouched(
    guard: RoleGuard, kwargs: dict[str, Any]
) -> None:
    """Other providers, a request's own template, no visible messages, mode off: nothing is done."""
    assert await guard.async_pre_call_deployment_hook(kwargs, "acompletion") is None
    assert guard.counts["failed"] == 0


@pytest.mark.parametrize("call_type", ["atext_completion", "anthropic_messages", None])
async def test_other_calls_pass_untouched(guard: RoleGuard, call_type: str | None) -> None:
    """Only chat completions and responses are repaired."""
    assert await guard.async_pre_call_deployment_hook(call(), call_type) is None


@pytest.mark.parametrize(
    ("group", "model", "guarded"),
    [
        ("gemma", "hosted_vllm/m", True),
        ("qwen-8b", "openai/m", True),
        ("other", "hosted_vllm/m", False),
    ],
)
@pytest.mark.parametrize("metadata", ["metadata", "litellm_metadata"])
async def test_named_groups_are_the_guarded_ones(
    group: str, model: str, guarded: bool, metadata: str
) -> None:
    """With `model_groups` exactly these are guarded, whatever their provider."""
    guard = RoleGuard(model_groups=["gemma", "qwen-*"], learn=False)
    kwargs = call(model=model, **{metadata: {"model_group": group}})
    changed = await guard.async_pre_call_deployment_hook(kwargs, "acompletion")
    assert (changed is not None) is guarded
    if changed is not None:
        assert changed["messages"] == MERGED


ALIASED: dict[str, Any] = {
    "model_list": [
        {
            "model_name": "gemma",
            "litellm_params": {"model": "hosted_vllm/m", "api_base": "http://b/v1"},
            "model_info": {"id": "d1"},
        }
    ],
    "model_group_alias": {"alias": "gemma"},
}


@pytest.mark.parametrize("model", ["gemma", "alias", "d1"])
async def test_a_named_group_is_guarded_under_all_its_names(backend: Backend, model: str) -> None:
    """A group's alias, or the id of one of its deployments, is no way around `model_groups`."""
    before = litellm.callbacks
    litellm.callbacks = [RoleGuard(model_groups=["gemma"], learn=False)]
    try:
        router = Router(**ALIASED, num_retries=0)
        await router.acompletion(model=model, messages=copy.deepcopy(RUN))  # type: ignore[arg-type]
    finally:
        litellm.callbacks = before
    assert [body["messages"] for body in backend.bodies] == [MERGED]


@pytest.mark.parametrize("model", ["gemma", "alias", "d1"])
async def test_bad_input_is_refused_under_all_names_of_a_group(
    monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    """The proxy's early 400 knows who could answer by alias and by deployment id, too."""
    proxy_server = SimpleNamespace(llm_router=Router(**ALIASED))
    monkeypatch.setitem(sys.modules, "litellm.proxy.proxy_server", proxy_server)
    guard = RoleGuard(model_groups=["gemma"], learn=False)
    with pytest.raises(ProxyException):
        await guard.async_pre_call_hook(None, None, {"model": model, "messages": []}, "acompletion")
    assert guard.counts["bad_input"] == 1


@pytest.mark.parametrize("messages", [None, "hello", [5], [{"content": "hello"}]])
async def test_malformed_messages_of_an_unguarded_group_are_none_of_its_business(
    monkeypatch: pytest.MonkeyPatch, messages: object
) -> None:
    """LiteLLM answers them as it always did, and the guard does not count a failure of its own."""
    proxy_server = SimpleNamespace(llm_router=Router(**ALIASED))
    monkeypatch.setitem(sys.modules, "litellm.proxy.proxy_server", proxy_server)
    guard = RoleGuard(model_groups=["another"])
    data = {"model": "gemma", "messages": messages}
    assert await guard.async_pre_call_hook(None, None, data, "anthropic_messages") is None
    assert guard.counts["failed"] == 0


async def test_observe_reports_and_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """In mode observe the request goes on as it is; header and log say what would be done."""
    guard = RoleGuard(mode="observe", learn=False)
    kwargs = call()
    with caplog.at_level(logging.INFO, "litellm_role_guard"):
        assert await guard.async_pre_call_deployment_hook(kwargs, "acompletion") is None
    header = await guard.async_post_call_response_headers_hook(kwargs, None, None)
    assert header == {"x-role-guard": "observe; merged=1"}
    assert [record.getMessage()[:17] for record in caplog.records] == ["observe; merged=1"]
    assert "still there" not in caplog.text


async def test_observe_reports_bad_input_and_lets_it_pass(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """In mode observe a request that is no conversation goes on, is counted and logged."""
    guard = RoleGuard(mode="observe", learn=False)
    kwargs = call([{"role": "wizard", "content": "still there?"}])
    with caplog.at_level(logging.INFO, "litellm_role_guard"):
        assert await guard.async_pre_call_deployment_hook(kwargs, "acompletion") is None
    assert guard.counts["bad_input"] == 1
    header = await guard.async_post_call_response_headers_hook(kwargs, None, None)
    assert header == {"x-role-guard": "observe; bad_input=1"}
    assert [record.getMessage()[:20] for record in caplog.records] == ["observe; bad_input=1"]
    assert "wizard" not in caplog.text


async def test_reject_explains_and_lets_the_rest_pass() -> None:
    """In mode reject a 400 names the messages and why; a fine conversation is not touched."""
    guard = RoleGuard(mode="reject", learn=False)
    with pytest.raises(BadRequestError, match=r"messages\[2\], messages\[3\]: merged: two"):
        await guard.async_pre_call_deployment_hook(call(), "acompletion")
    assert await guard.async_pre_call_deployment_hook(call([USER]), "acompletion") is None
    assert guard.counts["rejected"] == 1


async def test_a_deployments_own_settings_win() -> None:
    """`model_info.role_guard` overrides the global settings for that deployment alone."""
    guard = RoleGuard(mode="off", learn=False)
    own = call(model_info=of_deployment(mode="repair", separator=" | "))
    changed = await guard.async_pre_call_deployment_hook(own, "acompletion")
    assert changed is not None
    assert changed["messages"][-1]["content"] == "hi | still there?"
    assert await guard.async_pre_call_deployment_hook(call(), "acompletion") is None


async def test_a_template_that_takes_everything_needs_no_repair(tmp_path: Path) -> None:
    """With the backend's template known, what it takes whole goes on as the same objects."""
    path = tmp_path / "lenient.jinja"
    path.write_text("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}")
    guard = RoleGuard(chat_template=str(path))
    kwargs = call()
    changed = await guard.async_pre_call_deployment_hook(kwargs, "acompletion")
    assert changed is not None  # the client that would see a refusal is put in
    assert isinstance(changed["client"], RetryingClient)
    assert changed["messages"] is kwargs["messages"]
    assert await guard.async_post_call_response_headers_hook(kwargs, None, None) is None


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


async def test_what_only_vllm_can_read_is_remembered_too(
    backend: Backend, guard: RoleGuard
) -> None:
    """An item of a kind that the guard does not know is put in front as it is."""
    search = {"type": "web_search_call", "id": "w", "status": "completed"}
    remembering(guard, [USER, search])
    kwargs = call(input=[USER], previous_response_id="resp_1")
    changed = await guard.async_pre_call_deployment_hook(kwargs, "aresponses")
    assert changed is not None
    assert changed["input"] == [USER, search, USER]
    assert changed["previous_response_id"] is None
    headers = await guard.async_post_call_response_headers_hook(kwargs, None, None)
    assert headers == {"x-role-guard": "remembered=1"}


async def test_what_cannot_be_remembered_is_repaired(backend: Backend, guard: RoleGuard) -> None:
    """An error of the memory's own is counted, and costs the memory alone."""
    kwargs = call(input=[{**USER, "note": object()}, USER])
    changed = await guard.async_pre_call_deployment_hook(kwargs, "aresponses")
    assert changed is not None
    assert [item["content"] for item in changed["input"]] == ["hi\n\nhi"]
    assert changed["client"].on_response is None
    assert guard.counts["failed"] == 1


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([], r"messages: empty"),
        ([USER, {"content": "x"}], r"messages\[1\]: has no role"),
        ([{"role": "wizard", "content": "x"}], r"messages\[0\]: unknown role 'wizard'"),
        ([{"role": "user", "content": ""}], r"messages\[0\]: no message has any text"),
    ],
)
async def test_bad_input_is_a_bad_request_that_names_the_message(
    backend: Backend, guard: RoleGuard, messages: Any, words: str
) -> None:
    """What is no conversation is refused before it is sent, with the index and the fault."""
    with pytest.raises(BadRequestError, match=words):
        await ask(messages)
    assert backend.bodies == []
    assert guard.counts["bad_input"] == 1


async def test_a_guard_that_fails_lets_the_request_go_on(
    backend: Backend,
    guard: RoleGuard,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An error inside the guard is counted and logged with a traceback that holds no message
    text, not even where the error quotes it; the call goes on as it is."""

    def broken(*args: Any, **kwargs: Any) -> Any:
        raise KeyError(RUN[-1]["content"])

    monkeypatch.setattr("litellm_role_guard.plugin.guarded_call.repair", broken)
    kwargs = call()
    assert await guard.async_pre_call_deployment_hook(kwargs, "acompletion") is None
    assert guard.counts["failed"] == 1
    assert [record.exc_info for record in caplog.records] == [None]
    assert "in broken" in caplog.text
    assert "KeyError" in caplog.text
    assert "still there" not in caplog.text


async def test_a_deployments_bad_settings_do_not_stop_its_requests(
    guard: RoleGuard, caplog: pytest.LogCaptureFixture
) -> None:
    """A deployment added later with a wrong setting is served unguarded, and the log names it."""
    kwargs = call(model_info=of_deployment(mdoe="repair"))
    assert await guard.async_pre_call_deployment_hook(kwargs, "acompletion") is None
    assert "model_info.role_guard.mdoe" in caplog.text
    assert guard.counts["failed"] == 1


async def test_the_last_deployments_report_is_the_one_given(guard: RoleGuard) -> None:
    """After a fallback to a deployment that is not guarded no header is left over."""
    kwargs = call()
    await guard.async_pre_call_deployment_hook(kwargs, "acompletion")
    assert await guard.async_post_call_response_headers_hook(kwargs, None, None) == {
        "x-role-guard": "merged=1"
    }
    other = {**kwargs, "model": "openai/m"}
    await guard.async_pre_call_deployment_hook(other, "acompletion")
    assert await guard.async_post_call_response_headers_hook(kwargs, None, None) is None


async def test_reports_go_with_their_request(guard: RoleGuard) -> None:
    """Nothing is kept of a request once LiteLLM has dropped it."""
    await guard.async_pre_call_deployment_hook(call(), "acompletion")
    assert len(guard._reports) == 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"mdoe": "repair"}, "RoleGuard.mdoe: unknown setting; did you mean 'mode'?"),
        ({"chat_template": "/no/such/file"}, "RoleGuard.chat_template: /no/such/file: "),
    ],
)
def test_python_settings_are_checked_like_the_configs(settings: dict[str, Any], words: str) -> None:
    """Wrong keyword arguments are refused by name when the guard is made."""
    with pytest.raises(SettingsError) as refused:
        RoleGuard(**settings)
    assert words in str(refused.value)


def test_a_template_that_does_not_compile_is_named(tmp_path: Path) -> None:
    """The guard is not made with a template that Jinja cannot compile."""
    path = tmp_path / "broken.jinja"
    path.write_text("{% for %}")
    with pytest.raises(SettingsError, match=r"broken\.jinja"):
        RoleGuard(chat_template=str(path))


def test_the_configured_guard_reads_callback_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """`callback_settings.role_guard` are the settings, and a mistake is named by that path."""
    monkeypatch.setattr(litellm, "callback_settings", {"role_guard": {"mode": "observe"}})
    assert RoleGuard.from_config().settings.mode == "observe"
    monkeypatch.setattr(litellm, "callback_settings", {"role_guard": {"mode": "look"}})
    with pytest.raises(SettingsError, match=r"callback_settings\.role_guard\.mode: must be"):
        RoleGuard.from_config()


@pytest.mark.parametrize("written", ["x", ["role_guard"], 3])
def test_callback_settings_that_are_no_mapping_are_named(
    monkeypatch: pytest.MonkeyPatch, written: object
) -> None:
    """`callback_settings` itself of the wrong type is named by its path."""
    monkeypatch.setattr(litellm, "callback_settings", written)
    with pytest.raises(SettingsError, match=r"callback_settings: must be a mapping, not"):
        RoleGuard.from_config()


def test_a_misspelt_key_is_told_and_not_refused(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Keys near to `role_guard` may be another plugin's; the log asks whether ours was meant."""
    monkeypatch.setattr(litellm, "callback_settings", {"role_gaurd": {"mode": "off"}})
    entry = {"model_name": "m", "model_info": {"roleguard": {}}}
    config = SimpleNamespace(get_config_state=lambda: {"model_list": [entry]})
    proxy_server = SimpleNamespace(proxy_config=config)
    monkeypatch.setitem(sys.modules, "litellm.proxy.proxy_server", proxy_server)
    monkeypatch.setattr("litellm_role_guard.plugin.guard.show", lambda: None)
    assert RoleGuard.from_config().settings.mode == "repair"
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        "callback_settings.role_gaurd: not read; did you mean 'role_guard'?",
        "model_list[0].model_info.roleguard: not read; did you mean 'role_guard'?",
    ]


@pytest.mark.parametrize("inside", [True, False])
def test_the_log_is_shown_inside_the_proxy_only(
    monkeypatch: pytest.MonkeyPatch, inside: bool
) -> None:
    """An application that uses the SDK sets up its logging by itself."""
    shown: list[bool] = []
    monkeypatch.setattr("litellm_role_guard.plugin.guard.show", lambda: shown.append(True))
    monkeypatch.delitem(sys.modules, "litellm.proxy.proxy_server", raising=False)
    if inside:
        config = SimpleNamespace(get_config_state=dict)
        monkeypatch.setitem(
            sys.modules, "litellm.proxy.proxy_server", SimpleNamespace(proxy_config=config)
        )
    RoleGuard.from_config()
    assert shown == [True] * inside
