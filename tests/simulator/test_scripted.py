"""A scripted model calls tools, and OpenAI's own client reads its calls, streamed or not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from openai import BadRequestError, OpenAI

from litellm_role_guard.simulator import create_app
from litellm_role_guard.simulator.scripted import Call, Prompt, Said
from litellm_role_guard.template.chat_template import ChatTemplate
from testing.serving import serving
from testing.simulated_chat import CHAT, HELLO, STRICT

CALLS = [Call("look_up", '{"word": "war"}'), Call("look_up", '{"word": "peace"}')]
FUNCTION = {"name": "look_up", "parameters": {"type": "object", "properties": {}}}
TOOLS: Any = [{"type": "function", "function": FUNCTION}]
FLAT_TOOLS: Any = [{"type": "function", **FUNCTION}]


def look_both_up(prompt: Prompt) -> Said:
    """Call a tool twice, and one that may not be there."""
    return Said("A moment.", [*CALLS, Call("other__look_up", "{}"), Call("note", '{"input": "x"}')])


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The address of a scripted simulator."""
    template = ChatTemplate(STRICT)
    app = create_app(template, model="simulated", enable_auto_tool_choice=True, script=look_both_up)
    with serving(app) as url:
        yield url


@pytest.fixture(scope="module")
def openai(url: str) -> Iterator[OpenAI]:
    """OpenAI's client of it."""
    with OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_chat_calls_tools_in_parallel(openai: OpenAI, stream: bool) -> None:
    """Both calls arrive whole, each with an id of its own, and those of no offered tool never."""
    asked: Any = {"model": "simulated", "messages": HELLO["messages"], "tools": TOOLS}
    if stream:
        with openai.chat.completions.stream(**asked) as events:
            completion: Any = events.get_final_completion()
    else:
        completion = openai.chat.completions.create(**asked)
    (choice,) = completion.choices
    calls = choice.message.tool_calls
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content == "A moment."
    assert [(call.function.name, call.function.arguments) for call in calls] == CALLS
    assert len({call.id for call in calls}) == 2


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_responses_call_tools_in_parallel(openai: OpenAI, stream: bool) -> None:
    """The words are an item, and so is each call, whatever kind of tool it is of."""
    inner = {"type": "namespace", "name": "other", "description": "more", "tools": FLAT_TOOLS}
    tools = [*FLAT_TOOLS, inner, {"type": "custom", "name": "note"}, {"type": "web_search"}]
    asked: Any = {"model": "simulated", "input": "hello", "tools": tools}
    if stream:
        with openai.responses.stream(**asked) as events:
            response: Any = events.get_final_response()
    else:
        response = openai.responses.create(**asked)
    said, first, second, spaced, noted = response.output
    assert said.content[0].text == "A moment."
    assert [(call.name, call.arguments) for call in (first, second)] == CALLS
    assert (spaced.namespace, spaced.name, spaced.arguments) == ("other", "look_up", "{}")
    assert (noted.type, noted.name, noted.input) == ("custom_tool_call", "note", "x")
    assert len({call.call_id for call in response.output[1:]}) == 4


def test_a_stream_of_responses_adds_up(openai: OpenAI) -> None:
    """The pieces of the arguments are those of the finished items, and events are numbered."""
    asked: Any = {"model": "simulated", "input": "hello", "tools": FLAT_TOOLS, "stream": True}
    events: list[Any] = list(openai.responses.create(**asked))
    pieces: dict[int, str] = {}
    for event in events:
        if event.type == "response.function_call_arguments.delta":
            pieces[event.output_index] = pieces.get(event.output_index, "") + event.delta
    assert pieces == {1: CALLS[0].arguments, 2: CALLS[1].arguments}
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert len(events[-1].response.output) == 3


@pytest.mark.parametrize("tools", [{}, {"tools": TOOLS, "tool_choice": "none"}])
def test_no_tool_is_called_that_is_not_offered(url: str, tools: dict[str, Any]) -> None:
    """Without tools, or with none to be chosen, the model only speaks."""
    choice = httpx.post(url + CHAT, json={**HELLO, **tools}).json()["choices"][0]
    assert "tool_calls" not in choice["message"]
    assert choice["finish_reason"] == "stop"


def test_calls_count_as_tokens(openai: OpenAI) -> None:
    """What the model writes into its calls is part of the usage."""
    asked: Any = {"model": "simulated", "messages": HELLO["messages"]}
    said = openai.chat.completions.create(**asked)
    called = openai.chat.completions.create(**asked, tools=TOOLS)
    assert said.usage
    assert called.usage
    assert called.usage.completion_tokens > said.usage.completion_tokens


def test_a_tool_with_a_grammar_is_refused(openai: OpenAI) -> None:
    """VLLM takes custom tools of free text alone."""
    grammar = {"type": "grammar", "syntax": "lark", "definition": 'start: "a"'}
    tool: Any = {"type": "custom", "name": "patch", "format": grammar}
    with pytest.raises(BadRequestError) as refused:
        openai.responses.create(model="simulated", input="hello", tools=[tool])
    assert "grammar format are not supported" in json.dumps(refused.value.body)
