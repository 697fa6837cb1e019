"""The simulated vLLM on its own; tests/vllm holds it to the real one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from litellm_role_guard.simulator import create_app
from litellm_role_guard.simulator.model import (
    BLOCK_SIZE,
    PrefixCache,
    answer,
    decode,
    decode_stepwise,
    encode,
)
from litellm_role_guard.template.chat_template import ChatTemplate
from tests.conversations import assistant, system, user
from tests.serving import serving

STRICT = files("litellm_role_guard").joinpath("simulator/strict.jinja").read_text()
ALTERNATE = "Conversation roles must alternate user/assistant/user/assistant/..."
CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
HELLO = {"messages": [user("hello")]}


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    """A client of a simulator with the strict template."""
    app = create_app(ChatTemplate(STRICT), model="simulated")
    with serving(app) as url, httpx.Client(base_url=url, timeout=20) as client:
        yield client


def said(reply: httpx.Response) -> str:
    """Give the text of a chat answer."""
    text: str = reply.json()["choices"][0]["message"]["content"]
    return text


def chunks(reply: httpx.Response) -> list[dict[str, Any]]:
    """Give the chunks of a streamed chat answer."""
    lines = [line[6:] for line in reply.text.splitlines() if line.startswith("data: ")]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


def metric(client: httpx.Client, name: str) -> float:
    """Give the sum of a metric over its labels."""
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name + "{"))


class TestAnswers:
    def test_the_answer_tells_what_was_read(self, client: httpx.Client) -> None:
        """An answer counts the turns in the prompt and quotes the last one."""
        messages = [user("hello"), assistant("hi"), user("hello again")]
        reply = client.post(CHAT, json={"messages": messages})
        assert said(reply) == 'I read 3 turns; the last said: "hello again"'

    def test_the_answer_tells_what_was_not_read(self, client: httpx.Client) -> None:
        """A lone system message is taken by the strict template and the answer says it is lost."""
        reply = client.post(CHAT, json={"messages": [system("be kind")]})
        assert said(reply) == "I read 0 of 1 turns (never read: system)"

    def test_usage_counts_tokens(self, client: httpx.Client) -> None:
        """Usage is what /tokenize counts, for the prompt and for the answer."""
        reply = client.post(CHAT, json=HELLO)
        usage = reply.json()["usage"]
        assert usage["prompt_tokens"] == client.post("/tokenize", json=HELLO).json()["count"]
        assert usage["completion_tokens"] == len(encode(said(reply)))
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]

    def test_a_limit_cuts_the_answer(self, client: httpx.Client) -> None:
        """`max_tokens` cuts the answer and names it as the reason."""
        choice = client.post(CHAT, json={**HELLO, "max_tokens": 2}).json()["choices"][0]
        assert choice["finish_reason"] == "length"
        assert choice["message"]["content"] == "I rea"

    def test_a_stream_says_the_same(self, client: httpx.Client) -> None:
        """The chunks of a stream add up to the plain answer, and the last has the usage."""
        body = {**HELLO, "stream": True, "stream_options": {"include_usage": True}}
        received = chunks(client.post(CHAT, json=body))
        text = "".join(
            chunk["choices"][0]["delta"]["content"] for chunk in received if chunk["choices"]
        )
        plain = client.post(CHAT, json=HELLO)
        assert text == said(plain)
        assert received[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
        assert received[-2]["choices"][0]["finish_reason"] == "stop"
        assert received[-1]["choices"] == []
        assert received[-1]["usage"].items() <= plain.json()["usage"].items()

    def test_responses_read_instructions_and_items(self, client: httpx.Client) -> None:
        """A Responses request is one conversation: its instructions, its items."""
        body = {"instructions": "be kind", "input": [user("one"), assistant("two"), user("three")]}
        output = client.post(RESPONSES, json=body).json()["output"]
        assert output[0]["content"][0]["text"] == 'I read 4 turns; the last said: "three"'

    def test_responses_stream_in_vllms_order(self, client: httpx.Client) -> None:
        """The events come in vLLM's order, numbered, and end with the whole response."""
        reply = client.post(RESPONSES, json={"input": "hello", "stream": True})
        lines = [line[6:] for line in reply.text.splitlines() if line.startswith("data: ")]
        events = [json.loads(line) for line in lines]
        kinds = [event["type"].removeprefix("response.") for event in events]
        assert kinds[:4] == [
            "created",
            "in_progress",
            "output_item.added",
            "content_part.added",
        ]
        assert set(kinds[4:-4]) == {"output_text.delta"}
        assert kinds[-4:] == [
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "completed",
        ]
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        deltas = "".join(event["delta"] for event in events[4:-4])
        assert events[-1]["response"]["output"][0]["content"][0]["text"] == deltas

    def test_a_prefill_is_continued(self, client: httpx.Client) -> None:
        """With `continue_final_message` the prompt ends where the last message ends."""
        messages = [user("count"), assistant("one, two")]
        flags = {"add_generation_prompt": False, "continue_final_message": True}
        body = {"messages": messages, **flags, "return_prompt_text": True}
        assert client.post(CHAT, json=body).json()["prompt_text"].endswith("one, two")

    def test_what_it_is(self, client: httpx.Client) -> None:
        """The endpoints that describe a server are there."""
        assert client.get("/health").status_code == 200
        assert client.get("/version").json() == {"version": "0.32.0"}
        (card,) = client.get("/v1/models").json()["data"]
        assert (card["id"], card["max_model_len"]) == ("simulated", 32768)


class TestRefusals:
    def test_the_templates_words(self, client: httpx.Client) -> None:
        """A template's refusal is a 400 with its own words, plain and as a stream."""
        body = {"messages": [user("hello"), user("hello again")]}
        for path, request in (
            (CHAT, body),
            (CHAT, {**body, "stream": True}),
            ("/tokenize", body),
            (RESPONSES, {"input": body["messages"]}),
            (RESPONSES, {"input": body["messages"], "stream": True}),
        ):
            reply = client.post(path, json=request)
            assert reply.status_code == 400
            error = {"message": ALTERNATE, "type": "BadRequestError", "param": None, "code": 400}
            assert reply.json() == {"error": error}

    def test_an_unknown_model(self, client: httpx.Client) -> None:
        """A model that is not served is a 404."""
        reply = client.post(CHAT, json={**HELLO, "model": "gpt-9"})
        assert reply.status_code == 404
        assert reply.json()["error"]["type"] == "NotFoundError"

    def test_a_request_template_needs_trust(self, client: httpx.Client) -> None:
        """A request's own chat template is refused where the server was not told to trust it."""
        reply = client.post(CHAT, json={**HELLO, "chat_template": "x"})
        assert reply.status_code == 400
        assert "--trust-request-chat-template is not set" in reply.json()["error"]["message"]

    def test_tools_need_a_parser(self) -> None:
        """Tools are refused without a parser of tool calls, and rendered with one."""
        template = ChatTemplate("{{ tools | length }}")
        body = {**HELLO, "tools": [{"type": "function", "function": {"name": "f"}}]}
        statuses = []
        for enabled in (False, True):
            app = create_app(template, model="simulated", enable_auto_tool_choice=enabled)
            with serving(app) as url:
                statuses.append(httpx.post(url + CHAT, json=body).status_code)
                prompts = httpx.get(url + "/control/requests").json()
        assert statuses == [400, 200]
        assert prompts[0]["prompt"] == "1"

    @pytest.mark.parametrize(
        ("content", "faults", "place"),
        [
            ([5], 4, "0.ChatCompletionContentPartTextParam"),
            (["hello"], 4, "0.ChatCompletionContentPartTextParam"),
            ({"text": "hello"}, 4, "0.ChatCompletionContentPartTextParam"),
            ([{"type": "text"}], 7, "0.ChatCompletionContentPartTextParam.text"),
            ([{"text": "hello"}], 7, "0.ChatCompletionContentPartTextParam.type"),
            ([{"type": "smell"}], 8, "0.ChatCompletionContentPartTextParam.text"),
        ],
    )
    def test_a_malformed_part(
        self, client: httpx.Client, content: object, faults: int, place: str
    ) -> None:
        """A bad part is refused in pydantic's words, as measured on vLLM 0.32.0."""
        for path in (CHAT, "/tokenize"):
            body = {"messages": [{"role": "user", "content": content}]}
            error = client.post(path, json=body).json()["error"]
            words = f"{faults} validation errors for ValidatorIterator\n{place}\n"
            assert error["message"].startswith(words)
            assert (error["type"], error["param"]) == ("BadRequestError", None)

    @pytest.mark.parametrize(
        ("raw", "content_type", "words"),
        [
            (b"{", "application/json", "JSON decode error"),
            (b"", "application/json", "Field required"),
            (b"[]", "application/json", "Input should be a valid dictionary"),
            (b"{}", "text/plain", "Unsupported Media Type"),
        ],
    )
    def test_a_body_that_is_no_request(
        self, client: httpx.Client, raw: bytes, content_type: str, words: str
    ) -> None:
        """A body that is no JSON object is a 400, never a 500."""
        for path in (CHAT, RESPONSES, "/tokenize", "/detokenize"):
            reply = client.post(path, content=raw, headers={"content-type": content_type})
            assert reply.status_code == 400
            assert words in reply.json()["error"]["message"]


class TestTokens:
    @given(st.text())
    def test_every_text_comes_back(self, text: str) -> None:
        """Decoding a text's tokens gives the text, at once and token by token."""
        assert decode(encode(text)) == text
        assert "".join(decode_stepwise(encode(text))) == text

    @given(st.text(), st.text())
    def test_a_longer_text_keeps_its_tokens(self, text: str, more: str) -> None:
        """All but the last token of a text are the first tokens of every longer one."""
        tokens = encode(text)
        assert encode(text + more)[: max(0, len(tokens) - 1)] == tokens[:-1]

    def test_numbers_that_are_no_tokens(self, client: httpx.Client) -> None:
        """A number that stands for no token is no text, as in vLLM."""
        reply = client.post("/detokenize", json={"tokens": [5, *encode("a b"), 2**62]})
        assert reply.json() == {"prompt": "a b"}

    def test_tokenize_gives_the_prompt(self, client: httpx.Client) -> None:
        """/tokenize and /detokenize together show what the template made of a conversation."""
        messages = [system("S"), user("ü 🙂\n"), assistant("x"), user("y")]
        tokens = client.post("/tokenize", json={"messages": messages}).json()["tokens"]
        prompt = client.post("/detokenize", json={"tokens": tokens}).json()["prompt"]
        assert prompt == ChatTemplate(STRICT).render(messages)


class TestPrefixCache:
    def test_a_growing_prompt_is_found_again(self) -> None:
        """Whole blocks that an earlier prompt began with are hits, what follows is not."""
        cache = PrefixCache()
        assert cache.take(range(BLOCK_SIZE * 3)) == 0
        assert cache.take([*range(BLOCK_SIZE * 3), 7]) == BLOCK_SIZE * 3
        assert cache.take([0, 0, *range(BLOCK_SIZE * 3)]) == 0
        assert (cache.queries, cache.hits) == (BLOCK_SIZE * 9 + 3, BLOCK_SIZE * 3)

    def test_the_last_token_is_always_computed(self) -> None:
        """The same prompt again does not hit with its last block, as in vLLM."""
        cache = PrefixCache()
        cache.take(range(BLOCK_SIZE * 2))
        assert cache.take(range(BLOCK_SIZE * 2)) == BLOCK_SIZE

    def test_metrics_have_vllms_names(self, client: httpx.Client) -> None:
        """/metrics counts prompts, hits and answers under vLLM's names."""
        chat = {"messages": [user("hello " * 40)]}
        count = client.post("/tokenize", json=chat).json()["count"]
        for _ in range(2):
            client.post(CHAT, json=chat)
        assert metric(client, "vllm:prefix_cache_queries_total") == 2 * count
        assert metric(client, "vllm:prefix_cache_hits_total") == (count - 1) // 16 * 16
        assert metric(client, "vllm:request_success_total") == 2
        assert metric(client, "vllm:num_requests_running") == 0
        assert metric(client, "vllm:kv_cache_usage_perc") == 0


class TestFaults:
    @pytest.fixture(params=[False, True], ids=["plain", "stream"])
    def body(self, request: pytest.FixtureRequest) -> dict[str, Any]:
        """A chat request, plain and as a stream."""
        return {**HELLO, "stream": request.param}

    def test_refuse_drops_the_connection(self, client: httpx.Client, body: dict[str, Any]) -> None:
        """No byte is answered, not even by /health, while the control endpoint goes on."""
        client.post("/control", json={"fault": "refuse"}).raise_for_status()
        for path in (CHAT, RESPONSES, "/tokenize"):
            with pytest.raises(httpx.TransportError):
                client.post(path, json=body)
        with pytest.raises(httpx.TransportError):
            client.get("/health")
        assert client.get("/control").json()["fault"] == "refuse"
        client.post("/control", json={"fault": None})
        assert client.post(CHAT, json=body).status_code == 200

    def test_error_is_a_500(self, client: httpx.Client, body: dict[str, Any]) -> None:
        """An error has vLLM's JSON."""
        client.post("/control", json={"fault": "error"})
        reply = client.post(CHAT, json=body)
        assert reply.status_code == 500
        assert set(reply.json()["error"]) == {"message", "type", "param", "code"}

    def test_cut_ends_half_way(self, client: httpx.Client, body: dict[str, Any]) -> None:
        """An answer begins with a 200 and stops before its end."""
        whole = client.post(CHAT, json=body).text
        client.post("/control", json={"fault": "cut"})
        got: list[str] = []
        with client.stream("POST", CHAT, json=body) as reply:
            assert reply.status_code == 200
            with pytest.raises(httpx.RemoteProtocolError):
                got.extend(reply.iter_text(chunk_size=1))
        assert 0 < len("".join(got)) < len(whole)

    def test_empty_has_no_text(self, client: httpx.Client) -> None:
        """An empty reply is a proper answer without a text, in all forms."""
        client.post("/control", json={"fault": "empty"})
        assert said(client.post(CHAT, json=HELLO)) == ""
        streamed = chunks(client.post(CHAT, json={**HELLO, "stream": True}))
        assert not any(chunk["choices"][0]["delta"]["content"] for chunk in streamed)
        output = client.post(RESPONSES, json={"input": "hello"}).json()["output"]
        assert output[0]["content"] == []

    async def test_hang_waits_for_release(self, client: httpx.Client, body: dict[str, Any]) -> None:
        """A request hangs until the fault is taken back, and is answered then."""
        client.post("/control", json={"fault": "hang"})
        async with httpx.AsyncClient(base_url=client.base_url, timeout=20) as other:
            hanging = asyncio.create_task(other.post(CHAT, json=body))
            while not (await other.get("/control/requests")).json():
                assert not hanging.done()
            assert not hanging.done()
            await other.post("/control", json={"fault": None})
            assert (await hanging).status_code == 200

    async def test_hang_ends_with_the_client(self, client: httpx.Client) -> None:
        """A client that gives up is let go, and its request has no answer on record."""
        client.post("/control", json={"fault": "hang"})
        with pytest.raises(httpx.ReadTimeout):
            client.post(CHAT, json=HELLO, timeout=0.2)
        (received,) = client.get("/control/requests").json()
        assert (received["status"], received["fault"]) == (None, "hang")

    def test_a_fault_runs_out(self, client: httpx.Client) -> None:
        """A fault with a count meets that many requests of its paths and no more."""
        client.post("/control", json={"fault": "error", "count": 2, "paths": [CHAT]})
        statuses = [client.post("/tokenize", json=HELLO).status_code]
        statuses += [client.post(CHAT, json=HELLO).status_code for _ in range(3)]
        assert statuses == [200, 500, 500, 200]
        assert client.get("/control").json()["fault"] is None

    @pytest.mark.parametrize(
        "order", [{"fault": "melt"}, {"fault": "cut", "count": 0}, {}, {"fault": None, "x": 1}]
    )
    def test_an_unknown_order(self, client: httpx.Client, order: dict[str, Any]) -> None:
        """An order that makes no sense is refused and changes nothing."""
        client.post("/control", json={"fault": "error"})
        assert client.post("/control", json=order).status_code == 422
        assert client.get("/control").json()["fault"] == "error"

    def test_a_stream_that_is_left_is_aborted(self) -> None:
        """A client that leaves a stream ends the work on it."""
        app = create_app(ChatTemplate(STRICT), model="simulated", tokens_per_second=2)
        with serving(app) as url, httpx.Client(base_url=url, timeout=20) as client:
            with client.stream("POST", CHAT, json={**HELLO, "stream": True}) as reply:
                texts = reply.iter_text()  # dropped, it would close the connection
                next(texts)
                assert metric(client, "vllm:num_requests_running") == 1
                assert metric(client, "vllm:kv_cache_usage_perc") > 0
            running = (metric(client, "vllm:num_requests_running") for _ in range(1000))
            assert 0 in running
            aborted = 'vllm:request_success_total{engine="0",finished_reason="abort"'
            (line,) = [one for one in client.get("/metrics").text.splitlines() if aborted in one]
            assert line.endswith(" 1.0")


class TestRecord:
    def test_what_the_backend_got(self, client: httpx.Client) -> None:
        """Each POST is on record with its body, its prompt, its status and the fault it met."""
        refused = {"messages": [user("a"), user("b")]}
        client.post(CHAT, json=HELLO)
        client.post(CHAT, json=refused)
        client.post("/control", json={"fault": "refuse", "count": 1})
        with pytest.raises(httpx.TransportError):
            client.post(CHAT, json=HELLO)
        client.post(CHAT, content=b"{", headers={"content-type": "application/json"})
        taken, denied, dropped, broken = client.get("/control/requests").json()
        prompt = ChatTemplate(STRICT).render([user("hello")])
        assert taken == {
            "path": CHAT,
            "body": HELLO,
            "prompt": prompt,
            "status": 200,
            "fault": None,
        }
        assert (denied["body"], denied["prompt"], denied["status"]) == (refused, None, 400)
        assert (dropped["body"], dropped["status"], dropped["fault"]) == (None, None, "refuse")
        assert (broken["body"], broken["status"]) == ("{", 400)

    def test_the_newest_and_none(self, client: httpx.Client) -> None:
        """The record can be read from its end, and forgotten."""
        for text in ("one", "two", "three"):
            client.post("/tokenize", json={"prompt": text})
        newest = client.get("/control/requests", params={"last": 2}).json()
        assert [received["body"]["prompt"] for received in newest] == ["two", "three"]
        client.delete("/control/requests").raise_for_status()
        assert client.get("/control/requests").json() == []


def test_a_long_quote_is_cut() -> None:
    """A long last turn is quoted by its beginning."""
    text = "word " * 100
    assert answer([user(text)], text) == f'I read 1 turn; the last said: "{text[:120]}..."'
