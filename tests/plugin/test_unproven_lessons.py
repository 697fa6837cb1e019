"""What one client's request provokes changes nothing for the requests of others."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import litellm
import pytest
from litellm.exceptions import BadRequestError
from litellm.integrations.custom_logger import CustomLogger
from litellm.router import Router

from litellm_role_guard import ChatTemplate, RoleGuard
from litellm_role_guard.simulator import create_app
from testing.gpu import WITH_TOOLS
from testing.serving import serving
from testing.templates import TEMPLATES

ALTERNATING = TEMPLATES / "alternating.jinja"
PLAIN = TEMPLATES / "plain.jinja"
FORBIDDEN = "Conversation roles must alternate"
RAISING = "{{ raise_exception('Conversation roles must alternate; System role not supported') }}"
NAMED = {"type": "function", "function": {"name": FORBIDDEN}}
# Takes any turns, but no blank line beside a system message: what the guard joins, it refuses.
NO_BLANK_LINES = (
    "{% for m in messages %}{% if messages[0].role == 'system' and '\\n\\n' in m.content %}"
    "{{ raise_exception('Conversation roles must alternate') }}{% endif %}"
    "<{{ m.role }}>{{ m.content }}{% endfor %}"
)
SYSTEM = {"role": "system", "content": "be kind"}


class Backend:
    """A simulated vLLM, asked through a router's only deployment of it."""

    def __init__(self, url: str) -> None:
        self._url = url
        params = {"model": "hosted_vllm/m", "api_base": f"{url}/v1", "api_key": "none"}
        entry: Any = {"model_name": "g", "litellm_params": params}
        self.router = Router(model_list=[entry], num_retries=0)

    async def respond(self, items: list[Any]) -> list[int]:
        """Ask on /v1/responses; return the statuses of the calls that it took."""
        self._forget()
        await self.router.aresponses(model="g", input=copy.deepcopy(items))
        return [call["status"] for call in self.calls()]

    async def ask(self, messages: list[Any], **fields: Any) -> list[int]:
        """Ask; return the statuses of the calls that it took."""
        self._forget()
        try:
            answer = await self.router.acompletion(
                model="g", messages=copy.deepcopy(messages), **fields
            )
            if fields.get("stream"):
                _ = [chunk async for chunk in answer]
        except BadRequestError:
            assert [call["status"] for call in self.calls()][-1:] == [400]
        return [call["status"] for call in self.calls()]

    def calls(self) -> list[dict[str, Any]]:
        """Return what the last request sent."""
        received: list[dict[str, Any]] = httpx.get(f"{self._url}/control/requests").json()
        return [call for call in received if call["path"].startswith("/v1/")]

    def _forget(self) -> None:
        httpx.delete(f"{self._url}/control/requests").raise_for_status()

    async def leaves(self, messages: list[Any]) -> bool:
        """Return whether a conversation is sent as it is, and answered."""
        statuses = await self.ask(messages)
        return statuses == [200] and self.calls()[0]["body"]["messages"] == messages


@contextmanager
def guarded(template: str, **settings: Any) -> Iterator[Backend]:
    """Serve a template that requests may replace, behind a guard with these settings."""
    before = litellm.callbacks
    litellm.callbacks = [RoleGuard(**{"learn": False, **settings})]
    app = create_app(ChatTemplate(template), model="m", trust_request_chat_template=True)
    try:
        with serving(app) as url:
            yield Backend(url)
    finally:
        litellm.callbacks = before


def user(text: str) -> dict[str, Any]:
    """Return a user message."""
    return {"role": "user", "content": text}


def run(text: str) -> list[dict[str, Any]]:
    """Return a conversation whose turns do not alternate."""
    return [user(text), {"role": "assistant", "content": "yes"}, user("and"), user("now?")]


def of_key(name: str) -> dict[str, Any]:
    """Return what the proxy says of who asks."""
    return {"metadata": {"user_api_key_hash": name}}


# Without the null beside the call, which LiteLLM leaves out.
TOOLS = [{k: v for k, v in message.items() if v is not None} for message in WITH_TOOLS]
SOUND = [SYSTEM, *TOOLS]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_true_lesson_holds_for_all_after_its_second_proof(stream: bool) -> None:
    """Until then each conversation costs one repaired call, and its next turns none."""
    wrong = {"chat_template": str(PLAIN)}
    with guarded(ALTERNATING.read_text(), **wrong) as backend:
        assert await backend.ask(run("one"), stream=stream) == [400, 200]
        assert await backend.ask([*run("one"), *run("one")[1:]], stream=stream) == [200]
        assert await backend.ask(run("two"), stream=stream) == [400, 200]
        assert await backend.ask(run("three"), stream=stream) == [200]


async def test_conversations_with_calls_prove_a_lesson_as_well(tmp_path: Path) -> None:
    """LiteLLM leaves out the null beside a call: what it sent is what the guard gave it."""
    with_tools = tmp_path / "tools.jinja"
    with_tools.write_text(
        "{% for m in messages %}{% if m.role == 'tool' %}result {{ m.tool_call_id }}"
        "{% elif m.tool_calls %}{% for c in m.tool_calls %}call {{ c.id }} {{ c.function.name }}"
        "{{ c.function.arguments | tojson }}{% endfor %}{% else %}{{ m.role }}:{% endif %}"
        "{{ m.content or '' }}{% endfor %}"
    )
    no_tools = (
        "{% for m in messages %}{% if m.role not in ('user', 'assistant') %}"
        "{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}"
        "{{ m.role }}: {{ m.content }}{% endfor %}"
    )
    with guarded(no_tools, chat_template=str(with_tools)) as backend:
        for text in ("one", "two"):
            statuses = await backend.ask([user(text), *WITH_TOOLS[1:]])
            assert statuses == [400, 200]
        assert await backend.ask([user("three"), *WITH_TOOLS[1:]]) == [200]


async def test_a_lesson_is_proven_on_responses_and_holds_on_chat() -> None:
    """The same deployment, whatever the endpoint."""
    with guarded(ALTERNATING.read_text(), chat_template=str(PLAIN)) as backend:
        for text in ("one", "two"):
            assert await backend.respond(run(text)) == [400, 200]
        assert await backend.respond(run("three")) == [200]
        assert await backend.ask(run("four")) == [200]


async def test_what_begins_alike_is_one_proof() -> None:
    """Whoever says it, and with whatever spaces; and one key's lesson is not another's."""
    with guarded(ALTERNATING.read_text(), chat_template=str(PLAIN)) as backend:
        assert await backend.ask(run("one two"), **of_key("a")) == [400, 200]
        assert await backend.ask(run("one two"), **of_key("a")) == [200]
        for key, text in (("b", "one two"), ("c", " one\n two "), ("d", "one two")):
            assert await backend.ask(run(text), **of_key(key)) == [400, 200]
        assert await backend.ask(run("another"), **of_key("e")) == [400, 200]
        assert await backend.ask(run("a third"), **of_key("f")) == [200]


async def test_what_the_guard_itself_has_spoilt_teaches_no_other_conversation() -> None:
    """The guard's own doing is refused, and its next try answered: how often that ever happens."""
    with guarded(NO_BLANK_LINES, chat_template=str(ALTERNATING)) as backend:
        for text in ("one", "two", "three"):
            assert await backend.ask([SYSTEM, *run(text)]) == [400, 200]
        assert await backend.leaves([SYSTEM, user("hello")])


@pytest.mark.parametrize(
    "fields",
    [
        {"tool_choice": NAMED},
        {"tool_choice": NAMED, "chat_template": "{{ messages }}"},
        {"tool_choice": NAMED, "extra_body": {"chat_template": "{{ messages }}"}},
        {"tool_choice": NAMED, "extra_body": {"chat_template_kwargs": {"a": 1}}},
        {"chat_template": RAISING},
        {"extra_body": {"chat_template": RAISING}},
        {"extra_body": {"chat_template_kwargs": {"chat_template": RAISING}}},
    ],
)
async def test_words_that_a_client_brings_teach_nothing(fields: dict[str, Any]) -> None:
    """Neither in a tool's name that the backend repeats, nor in a template of its own."""
    if "tool_choice" in fields:
        named = {"name": FORBIDDEN, "parameters": {"type": "object"}}
        fields = {**fields, "tools": [{"type": "function", "function": named}]}
    with guarded(PLAIN.read_text()) as backend:
        assert await backend.leaves(SOUND)
        for text in ("one", "two", "three"):
            statuses = await backend.ask([SYSTEM, user(text), *TOOLS[1:]], **fields)
            assert set(statuses) == {400}
        assert await backend.leaves(SOUND)
        assert await backend.leaves([SYSTEM, user("two"), *TOOLS[1:]])


async def test_a_template_that_fakes_a_proof_teaches_nothing() -> None:
    """It refuses tool results and takes the repaired form: its own business."""
    fake = (
        "{% for m in messages %}{% if m.role == 'tool' %}"
        "{{ raise_exception('Only user and assistant ro' ~ 'les are supported') }}{% endif %}"
        "{{ m.content }}{% endfor %}"
    )
    with guarded(PLAIN.read_text()) as backend:
        for text in ("one", "two", "three"):
            statuses = await backend.ask(
                [user(text), *TOOLS[1:]], chat_template_kwargs={"chat_template": fake}
            )
            assert statuses == [400, 200]
        assert await backend.leaves(SOUND)
        assert await backend.leaves([user("one"), *TOOLS[1:]])


async def test_variables_that_a_client_brings_to_the_proxy_teach_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The template refuses what it takes with the deployment's own variables."""
    strict_if_told = (
        "{% for m in messages %}{% if m.role == 'tool' and strict %}"
        "{{ raise_exception('Only user and assistant roles are supported') }}{% endif %}"
        "{{ m.content }}{% endfor %}"
    )
    with guarded(strict_if_told) as backend:
        server = SimpleNamespace(llm_router=backend.router)
        monkeypatch.setitem(sys.modules, "litellm.proxy.proxy_server", server)
        for text in ("one", "two", "three"):
            statuses = await backend.ask(
                [user(text), *TOOLS[1:]], chat_template_kwargs={"strict": True}
            )
            assert statuses == [400, 200]
        assert await backend.leaves(SOUND)
        assert await backend.leaves([user("one"), *TOOLS[1:]])


class Meddler(CustomLogger):
    """Another plugin, which changes messages after the guard."""

    async def async_pre_call_deployment_hook(
        self, kwargs: dict[str, Any], call_type: Any
    ) -> dict[str, Any]:
        """Return the arguments with a further user message."""
        return {**kwargs, "messages": [*kwargs["messages"], user("by the way")]}


async def test_what_another_plugin_has_changed_proves_nothing() -> None:
    """A lesson is learnt from what the guard itself has sent."""
    with guarded(ALTERNATING.read_text(), chat_template=str(PLAIN)) as backend:
        litellm.callbacks.append(Meddler())
        for text in ("one", "two"):
            assert await backend.ask(run(text)) == [400, 200]
        litellm.callbacks.pop()
        for text in ("three", "four"):
            assert await backend.ask(run(text)) == [400, 200]
        assert await backend.ask(run("five")) == [200]


async def test_a_conversation_that_is_refused_in_every_form_teaches_nothing() -> None:
    """Not even itself: what did not help is not tried again."""
    stubborn = (
        "{% for m in messages %}{% if 'hush' in m.content %}"
        "{{ raise_exception('System role not supported') }}{% endif %}{{ m.content }}{% endfor %}"
    )
    with guarded(stubborn, chat_template=str(PLAIN)) as backend:
        for text in ("one", "two", "two"):
            hushed = [{"role": "system", "content": "hush"}, user(text)]
            assert set(await backend.ask(hushed)) == {400}
            assert backend.calls()[0]["body"]["messages"] == hushed
        assert await backend.leaves([SYSTEM, user("hello")])


@pytest.mark.parametrize(
    "smuggled", [{"messages": run("smuggled")}, {"messages": [user("a"), user("b")], "n": 1}]
)
async def test_a_body_that_is_not_what_the_guard_read_teaches_nothing(
    smuggled: dict[str, Any],
) -> None:
    """`extra_body` replaces the messages: their refusal, and the answer to the others, prove no
    lesson for these."""
    with guarded(ALTERNATING.read_text(), chat_template=str(PLAIN)) as backend:
        for text in ("one", "two", "three"):
            assert (await backend.ask(run(text), extra_body=smuggled))[0] == 400
        assert await backend.ask(run("four")) == [400, 200]


async def test_who_talks_about_a_refusal_is_answered_and_proves_nothing() -> None:
    """The words may be the client's own, but what helps it concerns nobody else."""
    with guarded(ALTERNATING.read_text(), chat_template=str(PLAIN)) as backend:
        for text in ("one", "two"):
            told = f"{text}: after the optional system message, conversation roles must alternate"
            assert await backend.ask(run(told)) == [400, 200]
        assert await backend.ask(run("three")) == [400, 200]
        assert await backend.ask(run("four")) == [400, 200]
        assert await backend.ask(run("five")) == [200]
