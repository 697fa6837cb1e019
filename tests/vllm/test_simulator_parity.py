"""The simulator judges as a real vLLM does, and renders what a real vLLM renders."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from litellm_role_guard.simulator import create_app
from litellm_role_guard.template.chat_template import ChatTemplate
from testing.bodies import BODIES, CHAT, RESPONSES, TOKENIZE
from testing.cases import CASES
from testing.conversations import Case, user
from testing.further_cases import FURTHER
from testing.serving import serving
from testing.vllm import MAX_MODEL_LEN, MODEL, SPECIAL_TOKENS


class Pair(NamedTuple):
    """A real vLLM and a simulator with the same template."""

    real: str
    simulated: str

    def post(self, path: str, body: Any) -> tuple[httpx.Response, httpx.Response]:
        """Send a request to both."""
        # vLLM closes the connection after a 500, so no connection is kept.
        real, simulated = (httpx.post(url + path, json=body, timeout=120) for url in self)
        return real, simulated


@pytest.fixture(scope="module")
def pair(vllm_url: str, gemma_3: Path) -> Iterator[Pair]:
    """Both servers, with the real Gemma 3 template."""
    template = ChatTemplate(gemma_3.read_text(), special_tokens=SPECIAL_TOKENS)
    app = create_app(
        template, model=MODEL, max_model_len=MAX_MODEL_LEN, trust_request_chat_template=True
    )
    with serving(app) as url:
        yield Pair(vllm_url, url)


def error(reply: httpx.Response) -> Any:
    """Give an error's JSON, without what depends on the versions of pydantic and openai."""
    text = re.sub(r"(pydantic\.dev)/[\d.]+/", r"\1/", reply.text)
    # A newer openai knows more kinds of items, so its union has more ways to fail.
    return json.loads(re.sub(r"\d\d+ (validation|more) errors", r"N \1 errors", text))


def prompt_of(url: str, reply: httpx.Response) -> str:
    """Give the text of the tokens that /tokenize gave."""
    tokens = {"tokens": reply.json()["tokens"]}
    prompt: str = httpx.post(url + "/detokenize", json=tokens, timeout=120).json()["prompt"]
    return prompt


def events_of(reply: httpx.Response) -> list[Any]:
    """Give what a stream sent as JSON."""
    lines = [line[6:] for line in reply.text.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def shape(value: Any) -> Any:
    """Give the keys of a JSON value, at every depth."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    return [shape(inner) for inner in value[:1]] if isinstance(value, list) else None


def lacks(value: Any, wanted: Any) -> list[str]:
    """Give the paths of keys that a JSON value has and another has not."""
    if isinstance(value, dict) and isinstance(wanted, dict):
        new = [key for key in value if key not in wanted]
        shared = (key for key in value if key in wanted)
        return new + [f"{key}.{path}" for key in shared for path in lacks(value[key], wanted[key])]
    if isinstance(value, list) and isinstance(wanted, list) and value and wanted:
        return lacks(value[0], wanted[0])
    return []


@pytest.mark.parametrize("name", BODIES)
def test_a_request_is_judged_alike(pair: Pair, name: str) -> None:
    """Every body, good or bad, gets the same status, and the same error if it is refused."""
    path, body = BODIES[name]
    real, simulated = pair.post(path, body)
    assert simulated.status_code == real.status_code
    assert simulated.headers["content-type"] == real.headers["content-type"]
    if real.status_code != 200:
        assert error(simulated) == error(real)
    elif "json" in real.headers["content-type"]:
        assert lacks(simulated.json(), real.json()) == []


@pytest.mark.parametrize("case", CASES + FURTHER, ids=lambda case: case.name)
def test_a_conversation_is_rendered_alike(pair: Pair, case: Case) -> None:
    """A conversation is refused by both in the same words, or becomes the same prompt."""
    body = {"model": MODEL, "messages": case.messages}
    if case.tools:
        body["tools"] = case.tools
    real, simulated = pair.post(TOKENIZE, body)
    assert simulated.status_code == real.status_code
    if real.status_code != 200:
        assert error(simulated) == error(real)
    else:
        assert prompt_of(pair.simulated, simulated) == prompt_of(pair.real, real)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("case", CASES + FURTHER, ids=lambda case: case.name)
def test_a_chat_is_answered_alike(pair: Pair, case: Case, stream: bool) -> None:
    """A chat request is refused in the same words, or its answer comes from the same prompt."""
    body = {"model": MODEL, "messages": case.messages, "max_tokens": 2, "stream": stream}
    body["return_prompt_text"] = True
    if case.tools:
        body |= {"tools": case.tools, "tool_choice": "none"}
    real, simulated = pair.post(CHAT, body)
    assert simulated.status_code == real.status_code
    if real.status_code != 200:
        assert error(simulated) == error(real)
        return
    first = [events_of(reply)[0] if stream else reply.json() for reply in (real, simulated)]
    assert first[1]["prompt_text"] == first[0]["prompt_text"]


def test_a_chat_stream_has_the_same_chunks(pair: Pair) -> None:
    """Both begin with the role, end with the reason, the usage and [DONE]; keys are the same."""
    body = {"model": MODEL, "messages": [user("hello")], "stream": True, "max_tokens": 4}
    body["stream_options"] = {"include_usage": True}
    real, simulated = pair.post(CHAT, body)
    ends = []
    for reply in (real, simulated):
        assert reply.text.endswith("data: [DONE]\n\n")
        events = events_of(reply)
        ends.append([shape(events[0]), shape(events[-1])])
        assert events[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
        assert events[-2]["choices"][0]["finish_reason"] is not None
        assert events[-1]["choices"] == []
    assert ends[1] == ends[0]


def test_a_responses_stream_has_the_same_events(pair: Pair) -> None:
    """Both send the same kinds of events in the same order, however long the answer is."""
    body = {"model": MODEL, "input": "hello", "stream": True, "max_output_tokens": 60}
    body["temperature"] = 0
    kinds = []
    for reply in pair.post(RESPONSES, body):
        events = events_of(reply)
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        names = [line[7:] for line in reply.text.splitlines() if line.startswith("event: ")]
        assert names == [event["type"] for event in events]
        deltas = [name for name in names if name == "response.output_text.delta"]
        assert deltas
        kinds.append(list(dict.fromkeys(names)))
    assert kinds[1] == kinds[0]


@pytest.mark.parametrize("path", ["/v1/models", "/version", "/nowhere", CHAT, "/v1/responses/x"])
def test_a_get_is_answered_alike(pair: Pair, path: str) -> None:
    """What tells about a server has the same form, and so have wrong paths and methods."""
    real, simulated = (httpx.get(url + path) for url in pair)
    assert simulated.status_code == real.status_code
    assert lacks(simulated.json(), real.json()) == []
    if real.status_code != 200:
        assert simulated.json() == real.json()


def test_metrics_have_the_same_names(pair: Pair) -> None:
    """Each metric of the simulator is one of vLLM's, with the same type and the same labels."""

    def described(url: str) -> set[tuple[str, ...]]:
        lines = httpx.get(url + "/metrics").text.splitlines()
        types = {("type", *line.split()[2:]) for line in lines if line.startswith("# TYPE vllm:")}
        series = (line.partition("{") for line in lines if line.startswith("vllm:"))
        return types | {(name, *re.findall(r'(\w+)="', labels)) for name, _, labels in series}

    assert described(pair.simulated) <= described(pair.real)
