"""Request bodies, good and bad, that a real vLLM and the simulator have to judge alike."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from litellm_role_guard.messages.message import Message

from .conversations import WEATHER_TOOL, assistant, calls, result, user

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
TOKENIZE = "/tokenize"
DETOKENIZE = "/detokenize"
_HELLO = [user("hello")]
_TWICE = [user("hello"), user("hello again")]
_PREFILL = [user("count"), assistant("one, two")]
_LONG = [user("x" * 30_000)]
_FUNCTION = {"type": "function", "name": "weather", "parameters": {"type": "object"}}


def to_vllm_messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Give messages as LiteLLM sends them to vLLM: it leaves out contents that are null."""
    return [
        {key: value for key, value in message.items() if key != "content" or value is not None}
        for message in messages
    ]


def _chat(messages: Any, **fields: Any) -> tuple[str, dict[str, Any]]:
    return CHAT, {"model": "gemma3", "messages": messages, "max_tokens": 2, **fields}


def _responses(given: Any, **fields: Any) -> tuple[str, dict[str, Any]]:
    return RESPONSES, {"model": "gemma3", "input": given, "max_output_tokens": 2, **fields}


def _reply(*texts: str, **fields: Any) -> dict[str, Any]:
    said = [{"type": "output_text", "text": text} for text in texts]
    return {"type": "message", "role": "assistant", "content": said, **fields}


_CALL = {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"}
_OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "sun"}
BODIES: dict[str, tuple[str, Any]] = {
    # The messages of a chat request.
    "no-messages": (CHAT, {"model": "gemma3"}),
    "messages-text": _chat("hello"),
    "messages-null": _chat(None),
    "messages-number": _chat(5),
    "messages-object": _chat({"role": "user", "content": "hello"}),
    "messages-empty": _chat([]),
    "message-text": _chat(["hello"]),
    "message-null": _chat([None]),
    "no-role": _chat([{"content": "hello"}]),
    "role-number": _chat([{"role": 5, "content": "hello"}]),
    "role-null": _chat([{"role": None, "content": "hello"}]),
    "content-number": _chat([{"role": "user", "content": 5}]),
    "content-null": _chat([{"role": "user", "content": None}]),
    "part-number": _chat([{"role": "user", "content": [5]}]),
    "part-text": _chat([{"role": "user", "content": ["hello"]}]),
    "part-no-list": _chat([{"role": "user", "content": {"text": "hello"}}]),
    "part-without-text": _chat([{"role": "user", "content": [{"type": "text"}]}]),
    "part-without-type": _chat([{"role": "user", "content": [{"text": "hello"}]}]),
    "part-unknown": _chat([{"role": "user", "content": [{"type": "smell"}]}]),
    "system-null": _chat([{"role": "system", "content": None}, *_HELLO]),
    "image": _chat(
        [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "what is it?"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                ],
            }
        ]
    ),
    "calls-text": _chat([*_HELLO, {"role": "assistant", "tool_calls": "x"}, user("so?")]),
    "call-without-function": _chat(
        [*_HELLO, {"role": "assistant", "tool_calls": [{"id": "1"}]}, user("so?")]
    ),
    "harmony": _chat([{"author": {"role": "user"}, "content": []}]),
    # Tools.
    "tools-empty": _chat(_HELLO, tools=[]),
    "tools-number": _chat(_HELLO, tools=5),
    "tool-without-function": _chat(_HELLO, tools=[{"type": "function"}]),
    "tools-auto": _chat(_HELLO, tools=[WEATHER_TOOL]),
    "tools-none": _chat(_HELLO, tools=[WEATHER_TOOL], tool_choice="none"),
    "tools-required": _chat(_HELLO, tools=[WEATHER_TOOL], tool_choice="required"),
    "tools-named": _chat(
        _HELLO,
        tools=[WEATHER_TOOL],
        tool_choice={"type": "function", "function": {"name": "weather"}},
    ),
    "tool-choice-unknown": _chat(_HELLO, tools=[WEATHER_TOOL], tool_choice="maybe"),
    "tool-choice-alone": _chat(_HELLO, tool_choice="auto"),
    # Limits.
    "max-tokens-too-large": _chat(_HELLO, max_tokens=5000),
    "max-completion-tokens-too-large": _chat(_HELLO, max_completion_tokens=5000),
    "max-tokens-too-large-and-refused": _chat(_TWICE, max_tokens=5000),
    "max-tokens-zero": _chat(_HELLO, max_tokens=0),
    "max-tokens-negative": _chat(_HELLO, max_tokens=-1),
    "max-tokens-text": _chat(_HELLO, max_tokens="many"),
    "max-tokens-fraction": _chat(_HELLO, max_tokens=2.5),
    "max-tokens-numeric-text": _chat(_HELLO, max_tokens="2"),
    "context-too-long": _chat(_LONG),
    # Sampling and the rest of the body.
    "temperature-negative": _chat(_HELLO, temperature=-1),
    "temperature-high": _chat(_HELLO, temperature=3),
    "temperature-text": _chat(_HELLO, temperature="hot"),
    "temperature-and-refused": _chat(_TWICE, temperature=-1),
    "top-p": _chat(_HELLO, top_p=2),
    "presence-penalty": _chat(_HELLO, presence_penalty=3),
    "n-zero": _chat(_HELLO, n=0),
    "n-two": _chat(_HELLO, n=2),
    "seed-too-large": _chat(_HELLO, seed=2**70),
    "stop-number": _chat(_HELLO, stop=5),
    "stream-text": _chat(_HELLO, stream="maybe"),
    "stream-options-alone": _chat(_HELLO, stream_options={"include_usage": True}),
    "top-logprobs-alone": _chat(_HELLO, top_logprobs=2),
    "schema-missing": _chat(_HELLO, response_format={"type": "json_schema"}),
    "documents-text": _chat(_HELLO, documents="x"),
    "documents": _chat(_HELLO, documents=[{"title": "a", "text": "b"}]),
    "unknown-field": _chat(_HELLO, guided_choice=["a"], surprise=1),
    "unknown-model": _chat(_HELLO, model="gpt-9"),
    "unknown-model-and-refused": _chat(_TWICE, model="gpt-9"),
    "no-model": (CHAT, {"messages": _HELLO, "max_tokens": 2}),
    "model-number": _chat(_HELLO, model=5),
    "body-list": (CHAT, []),
    # The prompt's variables.
    "prefill": _chat(_PREFILL, add_generation_prompt=False, continue_final_message=True),
    "prefill-echo": _chat(
        _PREFILL, add_generation_prompt=False, continue_final_message=True, echo=True
    ),
    "prefill-both": _chat(_PREFILL, add_generation_prompt=True, continue_final_message=True),
    "prefill-default": _chat(_PREFILL, continue_final_message=True),
    "no-generation-prompt": _chat(_HELLO, add_generation_prompt=False),
    "generation-prompt-text": _chat(_HELLO, add_generation_prompt="maybe"),
    "own-template": _chat(_TWICE, chat_template="{{ messages[1].content }}"),
    "own-template-broken": _chat(_HELLO, chat_template="{% if %}"),
    "own-template-undefined": _chat(_HELLO, chat_template="{{ nobody.name }}"),
    "own-template-refuses": _chat(_HELLO, chat_template="{{ raise_exception('not today') }}"),
    "own-template-number": _chat(_HELLO, chat_template=5),
    "own-template-variables": _chat(
        _HELLO,
        chat_template="{{ mood }} {{ documents[0].text }}",
        chat_template_kwargs={"mood": "gay"},
        documents=[{"text": "a page"}],
    ),
    "variables-text": _chat(_HELLO, chat_template_kwargs="x"),
    "variables-override": _chat(_HELLO, chat_template_kwargs={"add_generation_prompt": False}),
    # Streams.
    "stream": _chat(_HELLO, stream=True),
    "stream-usage": _chat(_HELLO, stream=True, stream_options={"include_usage": True}),
    "stream-refused": _chat(_TWICE, stream=True),
    "stream-too-large": _chat(_HELLO, stream=True, max_tokens=5000),
    "responses-stream": _responses("hello", stream=True, max_output_tokens=40),
    "responses-stream-refused": _responses(_TWICE, stream=True),
    # Responses.
    "responses-text": _responses("hello"),
    "responses-instructions": _responses("hello", instructions="be brief"),
    "responses-no-input": (RESPONSES, {"model": "gemma3"}),
    "responses-number": _responses(5),
    "responses-null": _responses(None),
    "responses-empty": _responses([]),
    "responses-refused": _responses(_TWICE),
    "responses-two-systems": _responses(
        [{"role": "system", "content": "s"}, *_HELLO], instructions="i"
    ),
    "responses-developer": _responses(
        [{"role": "developer", "content": "d"}, *_HELLO], instructions="i"
    ),
    "responses-parts": _responses(
        [{"role": "user", "content": [{"type": "input_text", "text": "hello"}]}]
    ),
    "responses-image": _responses(
        [
            {
                "role": "user",
                "content": [{"type": "input_image", "image_url": "data:image/png;base64,AAAA"}],
            }
        ]
    ),
    "responses-reply": _responses([user("a"), _reply("b", "c"), user("d")]),
    "responses-reply-text": _responses([user("a"), assistant("b"), user("d")]),
    "responses-two-replies": _responses([user("a"), assistant("b"), assistant("c"), user("d")]),
    "responses-unfinished": _responses([user("a"), _reply("b", status="incomplete")]),
    "responses-call": _responses([user("a"), _CALL, _OUTPUT]),
    "responses-call-joined": _responses([user("a"), _reply("b"), _CALL, user("c")]),
    "responses-reasoning": _responses(
        [user("a"), {"type": "reasoning", "summary": []}, _reply("b"), user("c")]
    ),
    "responses-call-first": _responses([_CALL, _OUTPUT]),
    "responses-item-reference": _responses([{"type": "item_reference", "id": "x"}]),
    "responses-item-text": _responses(["hello"]),
    "responses-no-role": _responses([{"content": "hello"}]),
    "responses-unknown-role": _responses([{"role": "critic", "content": "hello"}]),
    "responses-tool-role": _responses([{"type": "message", "role": "tool", "content": "hello"}]),
    "responses-no-content": _responses([{"role": "user"}]),
    "responses-content-number": _responses([{"role": "user", "content": 5}]),
    "responses-content-null": _responses([{"role": "user", "content": None}]),
    "responses-untyped-reply": _responses(
        [user("a"), {"role": "assistant", "content": [{"type": "output_text", "text": "b"}]}]
    ),
    "responses-tools": _responses("hello", tools=[_FUNCTION]),
    "responses-tools-empty": _responses("hello", tools=[]),
    "responses-earlier": _responses("hello", previous_response_id="resp_0"),
    "responses-background": _responses("hello", background=True),
    "responses-unknown-model": _responses("hello", model="gpt-9"),
    "responses-limit": _responses("hello", max_output_tokens=5000),
    "responses-limit-zero": _responses("hello", max_output_tokens=0),
    "responses-limit-and-refused": _responses(_TWICE, max_output_tokens=5000),
    "responses-temperature": _responses("hello", temperature=-1),
    "responses-temperature-text": _responses("hello", temperature="hot"),
    "responses-too-long": _responses("x" * 30_000),
    # Tokens.
    "tokenize-nothing": (TOKENIZE, {"model": "gemma3"}),
    "tokenize-number": (TOKENIZE, {"prompt": 5}),
    "tokenize-refused": (TOKENIZE, {"messages": _TWICE}),
    "tokenize-empty": (TOKENIZE, {"messages": []}),
    "tokenize-null": (TOKENIZE, {"messages": None}),
    "tokenize-content-null": (TOKENIZE, {"messages": [{"role": "user", "content": None}]}),
    "tokenize-unknown-model": (TOKENIZE, {"model": "gpt-9", "messages": _HELLO}),
    "tokenize-tools-empty": (TOKENIZE, {"messages": _HELLO, "tools": []}),
    "tokenize-tools": (
        TOKENIZE,
        {"messages": [*_HELLO, calls("c"), result("c", "r")], "tools": [WEATHER_TOOL]},
    ),
    "tokenize-strings": (TOKENIZE, {"prompt": "hello", "return_token_strs": True}),
    "tokenize-too-long": (TOKENIZE, {"messages": _LONG}),
    "detokenize-nothing": (DETOKENIZE, {"model": "gemma3"}),
    "detokenize-negative": (DETOKENIZE, {"tokens": [-1]}),
    "detokenize-text": (DETOKENIZE, {"tokens": ["x"]}),
    "detokenize-empty": (DETOKENIZE, {"tokens": []}),
    "detokenize-unknown-model": (DETOKENIZE, {"model": "gpt-9", "tokens": []}),
}
AT_ONCE = 8


def named_as_at_tokenize(message: Message) -> Message:
    """Rename `reasoning_content`, which the chat endpoint does and /tokenize does not."""
    if "reasoning_content" not in message:
        return message
    renamed = {key: value for key, value in message.items() if key != "reasoning_content"}
    return {**renamed, "reasoning": message["reasoning_content"]}


def sanitized(words: str) -> str:
    """Give an error's words as vLLM shows them: addresses and paths are left out.

    Source: vLLM `entrypoints/serve/exception_handling/utils.py`, `sanitize_message`.
    """
    words = re.sub(r" at 0x[0-9a-fA-F]+>", ">", words)
    words = re.sub(r"/(?:home|usr|opt|var|tmp|root|lib|mnt|srv)(?:/[\w.\-]+)+", "<path>", words)
    return re.sub(r"(?:/[\w\-]+)+/[\w\-]+\.\w+", "<path>", words).strip()
