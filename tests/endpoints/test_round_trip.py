"""Law 9: what goes out, read back as the endpoint's backend reads it, is what was repaired."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from litellm_role_guard.endpoints.anthropic import find_anthropic_error, translatable
from litellm_role_guard.endpoints.chat import ChatConversation
from litellm_role_guard.endpoints.responses import ResponsesInput
from litellm_role_guard.endpoints.responses_validation import find_input_error
from litellm_role_guard.messages.validation import find_validation_error
from litellm_role_guard.plugin.litellm_internals import to_vllm_messages
from litellm_role_guard.probing.probe import TOOLS
from litellm_role_guard.repair.chain import repair
from litellm_role_guard.simulator.responses import as_messages
from testing.laws import Conversation, conversations
from testing.learnt import learnt
from testing.litellm_release import anthropic_adapter
from testing.real_templates import REAL, name
from testing.response_items import ResponsesBody, as_rendered, responses_bodies
from testing.rightness import read
from testing.size import examples
from testing.templates import OURS

many = examples(quick=15, full=200)
TEMPLATES = [*OURS, *REAL]


def read_by_vllm(arguments: dict[str, Any]) -> list[Any]:
    """Give the messages that vLLM makes of what is sent."""
    return as_messages(arguments["input"], arguments["instructions"])


@pytest.mark.parametrize("path", TEMPLATES, ids=name)
@given(body=responses_bodies())
@many
def test_responses_are_read_back_as_they_were_repaired(path: Path, body: ResponsesBody) -> None:
    """The same messages, which are rendered to the same prompt and need no more repair."""
    assume(find_input_error(body.request_input, body.instructions) is None)
    _, profile = learnt(path)
    conversation = ResponsesInput(body.request_input, body.instructions)
    assume(not conversation.prefill)
    for tools in (False, True):
        given_tools = TOOLS if tools else None
        repaired = repair(conversation.messages, profile, tools=given_tools).messages
        sent = read_by_vllm(conversation.arguments(repaired))
        # Where only chat's own text parts are taken, the endpoint has no form for several of them.
        joined = profile.rules(tools=tools).other_parts != "accepted"
        meant = as_rendered(repaired, joined=joined)
        assert as_rendered(sent, joined=joined) == meant
        assert as_rendered(conversation.read_back(repaired), joined=joined) == meant
        again = repair(sent, profile, tools=given_tools).changes
        # What has been over the wire is a client's, who may have written the guard's labels.
        # Named exemption of 2026-11-26: an id that a later call uses again.
        assert {change.what for change in again} <= {"labels"} or uses_ids_again(body)
        assert lost(path, sent, repaired, body.marks, tools=tools) == []


def uses_ids_again(body: ResponsesBody) -> bool:
    """Tell whether two calls of an input have the same id."""
    items = body.request_input if isinstance(body.request_input, list) else []
    ids = [each.get("call_id") for each in items if str(each.get("type")).endswith("_call")]
    return len(set(ids)) < len(ids)


def lost(
    path: Path, sent: Sequence[Any], repaired: Sequence[Any], marks: list[str], *, tools: bool
) -> list[str]:
    """Give the texts that a template reads in what was repaired, and not in what arrives.

    That it reads all of what was repaired is law 2, and held by the tests of the repair.
    """
    template, _ = learnt(path)
    arrived, meant = (read(template, messages, tools=tools) for messages in (sent, repaired))
    return [mark for mark in marks if mark in (meant or "") and mark not in (arrived or "")]


PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


@st.composite
def with_parts(draw: st.DrawFn) -> Conversation:
    """Give conversations in which replies and results may be lists, some with a picture."""
    conversation = draw(conversations(rough=True))
    messages = []
    for message in conversation.messages:
        said = message["content"]
        if message["role"] in ("tool", "assistant") and isinstance(said, str) and said:
            parts: list[Any] = [{"type": "text", "text": said}]
            if message["role"] == "tool" and draw(st.booleans()):
                parts.append(PICTURE)
            if draw(st.booleans()):
                message = {**message, "content": parts}
        messages.append(message)
    return Conversation(messages, conversation.marks)


def chat_faults(path: Path, messages: list[Any], marks: list[str]) -> list[str]:
    """Tell where what LiteLLM sends is not what was repaired, and which texts are lost by it."""
    _, profile = learnt(path)
    conversation = ChatConversation(
        messages,
        prefill=False,
        is_vllm=True,
        to_vllm_messages=lambda repaired: to_vllm_messages(repaired, "m"),
    )
    faults = []
    for tools in (False, True):
        repaired = repair(conversation.messages, profile, tools=TOOLS if tools else None).messages
        sent = conversation.read_back(repaired)
        if as_rendered(sent) != as_rendered(repaired):
            faults.append(f"not what was repaired: {sent}, {repaired}")
        faults += lost(path, sent, repaired, marks, tools=tools)
    return faults


@pytest.mark.parametrize("path", TEMPLATES, ids=name)
@given(conversation=with_parts())
@many
def test_chat_messages_arrive_as_they_were_repaired(path: Path, conversation: Conversation) -> None:
    """LiteLLM moves pictures out of results, and makes strings of replies: it finds none to do."""
    assume(find_validation_error(conversation.messages) is None)
    marks = [mark for _, mark in conversation.marks]
    assert chat_faults(path, conversation.messages, marks) == []


SCREENSHOT = {
    "type": "image",
    "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"},
}


def as_anthropic(messages: list[Any], screenshots: list[bool]) -> list[Any]:
    """Give messages as blocks of /v1/messages, where a result is a user's."""
    told: list[Any] = []
    for message, has_screenshot in zip(messages, screenshots, strict=False):
        said = message["content"]
        texts = [{"type": "text", "text": said}] if isinstance(said, str) and said else said or []
        if message["role"] == "tool":
            content = [*texts, SCREENSHOT] if has_screenshot else said
            block = {"type": "tool_result", "tool_use_id": message["tool_call_id"]}
            told.append({"role": "user", "content": [{**block, "content": content}]})
        elif message.get("tool_calls"):
            used = [
                {"type": "tool_use", "id": call["id"], "name": "look_up", "input": {"word": at}}
                for at, call in enumerate(message["tool_calls"])
            ]
            told.append({"role": "assistant", "content": [*texts, *used]})
        elif message["role"] != "function":
            told.append({"role": message["role"], "content": said or ""})
    return told


@pytest.mark.parametrize("path", TEMPLATES, ids=name)
@given(
    conversation=conversations(rough=True),
    screenshots=st.lists(st.booleans(), min_size=60, max_size=60),
)
@many
def test_anthropic_messages_arrive_as_they_were_repaired(
    path: Path, conversation: Conversation, screenshots: list[bool]
) -> None:
    """LiteLLM translates them first: what it makes of them is repaired, and arrives."""
    messages = as_anthropic(conversation.messages, screenshots)
    assume(messages and find_anthropic_error(messages, None) is None)
    body: Any = {"model": "m", "max_tokens": 1, "messages": translatable(messages) or messages}
    adapter = anthropic_adapter()
    request, _ = adapter.translate_anthropic_to_openai(body, custom_llm_provider="hosted_vllm")
    translated: list[Any] = request["messages"]
    assume(find_validation_error(translated) is None)
    arrived = str(translated)
    marks = [mark for _, mark in conversation.marks if mark in arrived]
    assert chat_faults(path, translated, marks) == []
