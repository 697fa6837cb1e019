"""A chat on /v1/responses that sends its new message alone, in front of a vLLM without a store."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from litellm.proxy._types import hash_token

from litellm_role_guard.plugin.litellm_internals import named_by_backend
from litellm_role_guard.routing.prefix import OPENING_CHARS
from testing.processes import free_port, simulator
from testing.proxied import CLIENT, ENDPOINTS, STRICT, Backend, deployment, in_order
from testing.proxies import start_proxy

MINE, YOURS = "sk-mine", "sk-yours"
GONE = "neither the backend nor the guard knows the response"
UNKNOWN = "resp_0123456789abcdef0123456789abcdef"

plain_and_stream = pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])


@dataclass
class Answer:
    """An answer of /v1/responses, streamed or not."""

    http: httpx.Response

    @property
    def body(self) -> dict[str, Any]:
        """Give the response object, or what is in its place."""
        if "text/event-stream" not in self.http.headers["content-type"]:
            whole: dict[str, Any] = self.http.json()
            return whole
        for line in self.http.text.splitlines():
            if line.startswith("data: {"):
                event = json.loads(line.removeprefix("data: "))
                if event["type"] == "response.completed":
                    response: dict[str, Any] = event["response"]
                    return response
        raise AssertionError(self.http.text)

    @property
    def id(self) -> str:
        """Give the response's id, as the client knows it."""
        assert self.http.status_code == 200, self.http.text
        name: str = self.body["id"]
        return name

    @property
    def text(self) -> str:
        """Give what was said."""
        assert self.http.status_code == 200, self.http.text
        said: str = self.body["output"][0]["content"][0]["text"]
        return said


@dataclass
class Chats:
    """A proxy and its two backends."""

    url: str
    backends: list[Backend]

    def post(
        self, body: dict[str, Any], endpoint: str = "responses", key: str = MINE
    ) -> httpx.Response:
        """Post a body to an endpoint with somebody's key."""
        headers = {"Authorization": f"Bearer {key}"}
        return CLIENT.post(self.url + ENDPOINTS[endpoint], json=body, headers=headers)

    def say(
        self,
        text: Any,
        after: str | None = None,
        group: str = "chat",
        key: str = MINE,
        **fields: Any,
    ) -> Answer:
        """Send a new message alone, and the id of the response that it follows."""
        body = {"model": group, "input": text, **fields}
        if after is not None:
            body["previous_response_id"] = after
        return Answer(self.post(body, key=key))

    def calls(self) -> list[dict[str, Any]]:
        """Give what reached the backends since the test began; the order holds for each alone."""
        return [call for backend in self.backends for call in backend.calls()]

    def forget(self) -> None:
        """Forget what was received, and end all faults."""
        for backend in self.backends:
            CLIENT.post(f"{backend.url}/control", json={"fault": None}).raise_for_status()
            backend.forget()


def config(backends: list[Backend]) -> dict[str, Any]:
    """Give the config of a proxy with the groups that the tests ask for."""

    def both(group: str, **settings: Any) -> list[dict[str, Any]]:
        return [deployment(group, backend, learn=False, **settings) for backend in backends]

    dead = Backend(f"http://127.0.0.1:{free_port()}")
    gone = both("gone")[:1]
    gone[0]["litellm_params"]["api_base"] = f"{dead.url}/v1"
    lost = both("lost", mode="off")
    misnamed = both("misnamed")[:1]
    misnamed[0]["litellm_params"]["model"] = "hosted_vllm/nobody"
    return {
        "model_list": [
            *both("chat"),
            *both("informed", chat_template=str(STRICT)),
            *both("forgetful", remember_responses=False),
            *both("observed", mode="observe"),
            *both("off", mode="off"),
            *both("routed", routing="prefix_affinity"),
            *gone,
            *lost,
            *misnamed,
            *both("second", separator=" second "),
        ],
        "general_settings": {
            "custom_auth": "two_people.user_api_key_auth",
            # LiteLLM's own: it would refuse another's id before the guard is asked.
            "disable_responses_id_security": True,
        },
        "litellm_settings": {"callbacks": ["litellm_role_guard.role_guard"]},
        "router_settings": {
            "num_retries": 0,
            "fallbacks": [{"gone": ["second"]}, {"lost": ["second"]}],
        },
    }


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chats]:
    """Run two strict backends, which speak slowly, and a proxy that takes bad ones out."""
    folder = tmp_path_factory.mktemp("memory")
    shutil.copy(Path(__file__).with_name("two_people.py"), folder)
    slow = {"tokens-per-second": "200"}
    with ExitStack() as stack:
        urls = [stack.enter_context(simulator(folder, STRICT, **slow)) for _ in range(2)]
        backends = [Backend(url) for url in urls]
        url = stack.enter_context(start_proxy(config(backends), folder))
        yield Chats(url, backends)


@pytest.fixture
def chats(started: Chats) -> Chats:
    """Give the proxy with nothing received by its backends."""
    started.forget()
    return started


@plain_and_stream
@pytest.mark.parametrize("group", ["chat", "informed", "routed"])
def test_a_chat_goes_on_wherever_its_messages_go(chats: Chats, group: str, stream: bool) -> None:
    """Each new message is answered by a model that has read all of the chat, in order."""
    texts = [f"{word} thing" for word in ("first", "second", "third", "fourth", "fifth")]
    name, said = None, []
    for text in texts:
        chats.forget()
        answer = chats.say(text, name, group, stream=stream)
        name = answer.id
        (call,) = chats.calls()
        said += [f"<|user|>{text}"]
        assert in_order(said, call["prompt"])
        assert "previous_response_id" not in call["body"]
        header = answer.http.headers.get("x-role-guard", "")
        assert ("remembered=1" in header) is (len(said) > 1)
        assert "merged" not in header
        said += [f"<|assistant|>{answer.text}"]


def test_the_first_message_is_sent_as_it_is(chats: Chats) -> None:
    """A request that goes on from nothing is what it is without the guard."""
    answer = chats.say("hello", instructions="be kind", temperature=0.5)
    assert answer.http.status_code == 200
    assert "x-role-guard" not in answer.http.headers
    (call,) = chats.calls()
    assert call["body"]["input"] == "hello"
    assert call["body"]["instructions"] == "be kind"


def test_what_is_remembered_is_repaired(chats: Chats) -> None:
    """An answer without text leaves two questions in a row, of which both are read."""
    first = chats.say("hello", stream=True).id
    for backend in chats.backends:
        CLIENT.post(f"{backend.url}/control", json={"fault": "empty"}).raise_for_status()
    silent = chats.say("are you there?", first, stream=True).id
    chats.forget()
    answer = chats.say("hello again", silent, stream=True)
    assert answer.http.headers["x-role-guard"] == "merged=1; remembered=1"
    (call,) = chats.calls()
    assert "are you there?\n\nhello again" in call["prompt"]
    chats.forget()
    assert chats.say("and now?", answer.id, stream=True).http.status_code == 200
    (call,) = chats.calls()
    assert "are you there?\n\nhello again" in call["prompt"]


def test_items_and_tool_calls_are_remembered(chats: Chats) -> None:
    """What a client sent as items comes back as these items, in front of the new ones."""
    call = {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"}
    result = {"type": "function_call_output", "call_id": "c1", "output": "it rains"}
    asked = [{"role": "user", "content": "how is the weather?"}, call, result]
    name = chats.say(asked, group="informed").id
    chats.forget()
    chats.say([{"role": "user", "content": "and tomorrow?"}], name, "informed")
    (received,) = chats.calls()
    assert in_order(["how is the weather?", "it rains", "and tomorrow?"], received["prompt"])


def test_instructions_hold_for_one_response(chats: Chats) -> None:
    """As at OpenAI, those of an earlier request are not carried over."""
    name = chats.say("hello", instructions="speak like a pirate").id
    chats.forget()
    assert chats.say("more", name, instructions="be kind").http.status_code == 200
    (call,) = chats.calls()
    assert "be kind" in call["prompt"]
    assert "pirate" not in call["prompt"]


def test_a_chat_can_be_gone_on_from_any_of_its_responses(chats: Chats) -> None:
    """The messages of the other branch are not read."""
    first = chats.say("hello").id
    chats.say("left", first)
    chats.forget()
    assert chats.say("right", first).http.status_code == 200
    (call,) = chats.calls()
    assert in_order(["hello", "right"], call["prompt"])
    assert "left" not in call["prompt"]


def test_a_stream_that_was_stopped_leaves_the_chat_as_it_was(chats: Chats) -> None:
    """What the client broke off is not known; from the response before it the chat goes on."""
    first = chats.say("hello", stream=True).id
    body = {"model": "chat", "input": "tell me all", "previous_response_id": first, "stream": True}
    headers = {"Authorization": f"Bearer {MINE}"}
    stopped = None
    with CLIENT.stream(
        "POST", chats.url + ENDPOINTS["responses"], json=body, headers=headers
    ) as stream:
        for line in stream.iter_lines():
            if line.startswith("data: {"):
                event = json.loads(line.removeprefix("data: "))
                stopped = stopped or event["response"]["id"]
                if event["type"].endswith("delta"):
                    break
    assert stopped is not None
    refused = chats.say("hello?", stopped, stream=True).http
    assert refused.status_code == 400
    chats.forget()
    assert chats.say("hello again", first, stream=True).http.status_code == 200
    (call,) = chats.calls()
    assert in_order(["hello", "hello again"], call["prompt"])
    assert "tell me all" not in call["prompt"]


@pytest.mark.parametrize("by", ["litellm", "backend"])
def test_anothers_key_cannot_go_on_from_a_response(chats: Chats, by: str) -> None:
    """Neither by the id that the client has, nor by the backend's own, nor by saying who it is."""
    name = chats.say("my secret").id
    if by == "backend":
        name = named_by_backend(name)
    chats.forget()
    me = {
        "user_api_key_hash": hash_token(MINE),
        "user_api_key_user_id": f"user of {MINE}",
        "user_api_key_team_id": None,
    }
    for claims in ({}, {"metadata": me}, {"litellm_metadata": me}, {"user": f"user of {MINE}"}):
        answer = chats.say("what was said?", name, key=YOURS, **claims)
        assert answer.http.status_code == 400, answer.http.text
    assert all("my secret" not in str(call) for call in chats.calls())
    assert chats.say("go on", name).http.status_code == 200


@plain_and_stream
@pytest.mark.parametrize("group", ["chat", "forgetful", "routed"])
def test_an_unknown_response_costs_nobody_else_a_deployment(
    chats: Chats, group: str, stream: bool
) -> None:
    """It is a 400 that says what to do, and the group answers everybody else as before."""
    for _ in range(4):
        refused = chats.say("go on", UNKNOWN, group, stream=stream).http
        assert refused.status_code == 400
        assert GONE in refused.json()["error"]["message"]
        hello = {"model": group, "messages": [{"role": "user", "content": "hello"}]}
        assert chats.post(hello, "chat", YOURS).status_code == 200


def test_without_the_guard_it_costs_everybody_all_of_them(chats: Chats) -> None:
    """In mode off two such messages leave no deployment in the group."""
    statuses = [chats.say("go on", UNKNOWN, "off").http.status_code for _ in range(4)]
    assert statuses[0] == 404
    hello = {"model": "off", "messages": [{"role": "user", "content": "hello"}]}
    refused = chats.post(hello, "chat", YOURS)
    assert refused.status_code == 429
    assert "No deployments available" in refused.text


def test_any_other_404_is_passed_on(chats: Chats) -> None:
    """It is about something else than the earlier response."""
    refused = chats.say("go on", UNKNOWN, "misnamed").http
    assert refused.status_code == 404
    assert "does not exist" in refused.text


def test_what_is_not_to_be_stored_is_not(chats: Chats) -> None:
    """With `store: false` a response cannot be gone on from; it may itself go on from another."""
    first = chats.say("hello").id
    second = chats.say("more", first, store=False).id
    assert chats.say("and more", second).http.status_code == 400
    assert chats.say("and more", first).http.status_code == 200


def test_the_setting_turns_it_off(chats: Chats) -> None:
    """With `remember_responses: false` nothing is known of a deployment's own responses."""
    name = chats.say("hello", group="forgetful").id
    assert chats.say("more", name, "forgetful").http.status_code == 400


def test_observe_changes_nothing(chats: Chats) -> None:
    """In mode observe the backend gets the id, and its own answer is passed on."""
    name = chats.say("hello", group="observed").id
    chats.forget()
    assert chats.say("more", name, "observed").http.status_code == 404
    (call,) = chats.calls()
    assert call["body"]["previous_response_id"] == named_by_backend(name)


@plain_and_stream
def test_a_fallback_reads_the_chat_too(chats: Chats, stream: bool) -> None:
    """A deployment that takes over gets the conversation, repaired in its own way, and once."""
    run = [{"role": "user", "content": text} for text in ("hello", "are you there?")]
    first = chats.say(run, group="gone", stream=stream).id
    chats.forget()
    answer = chats.say("hello again", first, "gone", stream=stream)
    assert answer.http.headers["x-role-guard"] == "merged=1; remembered=1"
    (call,) = chats.calls()
    assert in_order(["<|user|>hello second are you there?", "<|user|>hello again"], call["prompt"])
    assert call["prompt"].count("<|user|>hello") == 2


def test_a_fallback_from_a_deployment_without_the_guard_gets_the_id(chats: Chats) -> None:
    """What the guard knows helps after another deployment did not know the response."""
    first = chats.say("hello").id
    chats.forget()
    answer = chats.say("more", first, "lost")
    assert answer.http.status_code == 200, answer.http.text
    assert "hello" in next(c for c in chats.calls() if c["status"] == 200)["prompt"]


def test_a_routed_chat_stays_where_it_began(chats: Chats) -> None:
    """Prefix affinity reads the opening of the conversation that a response stands for."""
    for word in ("red", "green", "blue", "white", "black"):
        chats.forget()
        name = chats.say(f"{word} " * (OPENING_CHARS // 4), group="routed").id
        for text in ("more", "and more"):
            name = chats.say(text, name, "routed").id
        assert sorted(len(backend.calls()) for backend in chats.backends) == [0, 3]
