"""The simulated vLLM on its own; tests/vllm holds it to the real one."""

from __future__ import annotations

import json

import httpx
import pytest

from litellm_role_guard.simulator import create_app
from litellm_role_guard.simulator.model import (
    answer,
    encode,
)
from litellm_role_guard.template.chat_template import ChatTemplate
from testing.conversations import assistant, system, user
from testing.serving import serving
from testing.simulated_chat import CHAT, HELLO, RESPONSES, STRICT, chunks, said

ALTERNATE = "Conversation roles must alternate user/assistant/user/assistant/..."


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
