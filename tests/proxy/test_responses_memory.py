"""A chat on /v1/responses that sends its new message alone, in front of a vLLM without a store."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from litellm.proxy._types import hash_token

from litellm_role_guard.plugin.litellm_internals import named_by_backend
from litellm_role_guard.routing.prefix import OPENING_CHARS
from testing.litellm_release import told_of_stored_calls
from testing.proxied import CLIENT, ENDPOINTS, in_order
from testing.remembered import MINE, YOURS, Chats, chatting

GONE = "neither the backend nor the guard knows the response"
UNKNOWN = "resp_0123456789abcdef0123456789abcdef"

plain_and_stream = pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chats]:
    """Run two strict backends, which speak slowly, and a proxy that takes bad ones out."""
    folder = tmp_path_factory.mktemp("memory")
    shutil.copy(Path(__file__).with_name("two_people.py"), folder)
    with chatting(folder) as chats:
        yield chats


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


@told_of_stored_calls
@plain_and_stream
def test_a_response_can_be_read_again(chats: Chats, stream: bool) -> None:
    """GET gives the response as it was answered, and asks no backend."""
    tools = [{"type": "function", "name": "look", "parameters": {"type": "object"}}]
    first = chats.say("hello", stream=stream, tools=tools, instructions="be kind")
    second = chats.say("more", first.id, stream=stream, tools=tools)
    chats.forget()
    for answer, instructions in ((first, "be kind"), (second, None)):
        read = chats.ask("GET", answer.id)
        assert read.status_code == 200, read.text
        assert read.headers["x-role-guard"] == "remembered=1"
        said = read.json()
        assert said["id"] == answer.id
        assert said["status"] == "completed"
        assert said["output"][0]["content"][0]["text"] == answer.text
        assert [tool["name"] for tool in said["tools"]] == ["look"]
        assert said["instructions"] == instructions
        assert said["usage"]["total_tokens"] > 0
    assert chats.calls() == []


def test_the_items_that_a_response_was_made_of_are_listed(chats: Chats) -> None:
    """`input_items` gives the chat up to the question, each item with an id, page by page."""
    first = chats.say("hello")
    second = chats.say([{"role": "user", "content": "more"}], first.id)
    chats.forget()
    listed = chats.ask("GET", second.id, "/input_items?order=asc").json()
    assert [item["role"] for item in listed["data"]] == ["user", "assistant", "user"]
    assert listed["data"][1]["content"][0]["text"] == first.text
    ids = [item["id"] for item in listed["data"]]
    assert [listed["first_id"], listed["last_id"]] == [ids[0], ids[-1]]
    assert len(set(ids)) == 3
    newest = chats.ask("GET", second.id, "/input_items?limit=1").json()
    assert [item["id"] for item in newest["data"]] == ids[2:]
    assert newest["has_more"] is True
    rest = chats.ask("GET", second.id, f"/input_items?after={ids[2]}&limit=9").json()
    assert [item["id"] for item in rest["data"]] == [ids[1], ids[0]]
    assert rest["has_more"] is False
    assert chats.calls() == []


@pytest.mark.parametrize(
    ("query", "words"),
    [("limit=0", "limit: must be"), ("order=up", "order: must be"), ("after=x", "after: no such")],
)
def test_a_page_that_there_is_not_is_a_400(chats: Chats, query: str, words: str) -> None:
    """It names the guard and the field."""
    name = chats.say("hello").id
    refused = chats.ask("GET", name, f"/input_items?{query}")
    assert refused.status_code == 400
    assert f"role guard: {words}" in refused.json()["error"]["message"]


@told_of_stored_calls
def test_a_deleted_response_is_forgotten(chats: Chats) -> None:
    """Nothing leads to it any more, neither a new message nor its items; later responses stay."""
    first = chats.say("my secret")
    second = chats.say("more", first.id)
    item = first.body["output"][0]["id"]
    deleted = chats.ask("DELETE", first.id)
    assert deleted.status_code == 200, deleted.text
    assert deleted.json() == {"id": first.id, "object": "response", "deleted": True}
    chats.forget()
    for refused in (
        chats.ask("GET", first.id),
        chats.ask("DELETE", first.id),
        chats.ask("GET", first.id, "/input_items"),
        chats.say("go on", first.id).http,
    ):
        assert refused.status_code == 400, refused.text
        assert GONE in refused.json()["error"]["message"]
    assert chats.calls() == []
    assert chats.say("go on", second.id).http.status_code == 200
    assert chats.ask("DELETE", second.id).status_code == 200
    chats.forget()
    reference = {"type": "item_reference", "id": item}
    answer = chats.say([reference, {"role": "user", "content": "what was it?"}])
    assert answer.http.headers["x-role-guard"] == "items=1"
    (call,) = chats.calls()
    assert "secret" not in call["prompt"]


@told_of_stored_calls
def test_anothers_key_cannot_read_or_delete_a_response(chats: Chats) -> None:
    """Nor refer to its items; to them it is one that nobody knows."""
    first = chats.say("my secret")
    reference = {"type": "item_reference", "id": first.body["output"][0]["id"]}
    for method, path in (("GET", ""), ("GET", "/input_items"), ("DELETE", "")):
        refused = chats.ask(method, first.id, path, key=YOURS)
        assert refused.status_code == 400, refused.text
        assert GONE in refused.json()["error"]["message"]
        assert "secret" not in refused.text
    chats.forget()
    referring = chats.say([reference, {"role": "user", "content": "hello"}], key=YOURS)
    assert referring.http.headers["x-role-guard"] == "items=1"
    (call,) = chats.calls()
    assert first.text not in call["prompt"]
    assert chats.ask("GET", first.id).status_code == 200


@told_of_stored_calls
def test_what_nobody_knows_costs_nobody_a_deployment(chats: Chats) -> None:
    """To read or delete such a response is a 400, and the group answers as before."""
    name = chats.say("hello", store=False).id
    for method, path in (("GET", ""), ("GET", "/input_items"), ("DELETE", "")) * 2:
        refused = chats.ask(method, name, path)
        assert refused.status_code == 400, refused.text
        message = refused.json()["error"]["message"]
        assert "role guard: response_id: " in message
        assert "mode: observe" in message
    assert chats.say("hello").http.status_code == 200


@plain_and_stream
def test_an_item_is_referred_to(chats: Chats, stream: bool) -> None:
    """An `item_reference` is read as the item that it stands for; an unknown one is left out."""
    call = {
        "type": "function_call",
        "id": "fc1",
        "call_id": "c1",
        "name": "look",
        "arguments": "{}",
    }
    result = {"type": "function_call_output", "call_id": "c1", "output": "it rains"}
    first = chats.say([{"role": "user", "content": "weather?"}, call, result], group="informed")
    chats.forget()
    items = [
        {"role": "user", "content": "weather?"},
        {"type": "item_reference", "id": "fc1"},
        result,
        {"type": "item_reference", "id": first.body["output"][0]["id"]},
        {"type": "item_reference", "id": "unknown"},
        {"role": "user", "content": "and tomorrow?"},
    ]
    answer = chats.say(items, group="informed", stream=stream)
    assert answer.http.status_code == 200, answer.http.text
    assert "remembered=1" in answer.http.headers["x-role-guard"]
    assert "items=1" in answer.http.headers["x-role-guard"]
    (received,) = chats.calls()
    said = ["weather?", "look", "it rains", first.text, "and tomorrow?"]
    assert in_order(said, received["prompt"])
    chats.forget()
    alone = chats.say([{"type": "item_reference", "id": "fc1"}, result], group="informed")
    assert alone.http.status_code == 200, alone.http.text
