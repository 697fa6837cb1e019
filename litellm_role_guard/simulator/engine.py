"""One served model: the checks before it, the rendered prompt, the streamed reply.

The checks, their order and their words are those of vLLM 0.32.0
(`entrypoints/openai/chat_completion/serving.py`, `renderers/online_renderer.py`).
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

from fastapi import Request
from pydantic import TypeAdapter

from ..messages.message import Message, has_media
from ..template.chat_template import ChatTemplate
from ..template.errors import TemplateInvalid, TemplateRefused
from .model import Metrics, answer, decode_stepwise, encode
from .protocol import ModelRequest, Refused, RenderedRequest, read_body
from .scripted import Call, Prompt, Said, Script

_Body = TypeVar("_Body", bound=ModelRequest)

# Variables that a request sets in fields of its own, or must not set at all.
_OWN_VARIABLES = {
    "add_generation_prompt",
    "chat_template",
    "continue_final_message",
    "messages",
    "tokenize",
    "tools",
}


class Reply(NamedTuple):
    """The model's reply.

    Attributes:
        prompt: The prompt that it answers.
        cached_tokens: How many of the prompt's tokens an earlier prompt had left in the cache.
        tokens: The tokens of the reply.
        finish_reason: "stop", "tool_calls", or "length" if the limit cut it.
        calls: The tools that it calls.
    """

    prompt: Prompt
    cached_tokens: int
    tokens: list[int]
    finish_reason: str
    calls: Sequence[Call] = ()

    @property
    def usage(self) -> tuple[int, int]:
        """How many tokens were read, and how many were said."""
        said = sum(len(encode(call.name + call.arguments)) for call in self.calls)
        return len(self.prompt.tokens), len(self.tokens) + said


class Engine:
    """One served model, between the endpoints and the template.

    Args:
        template: The model's chat template.
        model: The name under which it is served.
        max_model_len: Its context length, in tokens.
        trust_request_chat_template: Whether a request may bring its own template.
        enable_auto_tool_choice: Whether tools may be given without a `tool_choice` of "none".
        latency: Time to the first token, in seconds.
        tokens_per_second: Speed of an answer; None for all at once.
        script: What the model says; None for what it has read.
    """

    def __init__(
        self,
        template: ChatTemplate,
        model: str,
        *,
        max_model_len: int,
        trust_request_chat_template: bool,
        enable_auto_tool_choice: bool,
        latency: float,
        tokens_per_second: float | None,
        script: Script | None,
    ) -> None:
        self.model = model
        self.max_model_len = max_model_len
        self.metrics = Metrics(model)
        self._template = template
        self._trust_request_chat_template = trust_request_chat_template
        self._enable_auto_tool_choice = enable_auto_tool_choice
        self._latency = latency
        self._script = script or tell
        self._seconds_per_token = 1 / tokens_per_second if tokens_per_second else 0.0
        self._compiled = lru_cache(maxsize=64)(self._compile)

    async def read(self, request: Request, form: TypeAdapter[_Body]) -> _Body:
        """Return a request's body as a request model.

        Raises:
            Refused: The body is invalid, or its model is not served.
        """
        body = await read_body(request, form)
        self.check_model(body.model)
        return body

    def check_model(self, name: str | None) -> None:
        """Raise `Refused` if a model is not served."""
        if name and name != self.model:
            refusal = f"The model `{name}` does not exist. Valid aliases: {self.model}."
            raise Refused(refusal, status=404, kind="NotFoundError", param="model")

    def check_tool_choice(self, choice: object) -> None:
        """Raise `Refused` if a tool choice needs a parser of tool calls that is not there."""
        if self._enable_auto_tool_choice or choice in (None, "none"):
            return
        if choice == "auto":
            needed = "--enable-auto-tool-choice and --tool-call-parser"
            raise Refused(f'"auto" tool choice requires {needed} to be set')
        named = '"required"' if choice == "required" else f'function "{choice}"'
        raise Refused(f"tool_choice={named} requires --tool-call-parser to be set")

    def check_limit(self, name: str, limit: int | None) -> None:
        """Raise `Refused` if an answer's limit is longer than the context."""
        if limit is not None and limit > self.max_model_len:
            refusal = f"{name}={limit} cannot be greater than max_model_len={self.max_model_len}. "
            raise Refused.field(refusal + "Please request fewer output tokens.", name, limit)

    def prompt(self, body: RenderedRequest, variables: Mapping[str, Any] | None) -> Prompt:
        """Return the prompt of a request with messages.

        Raises:
            Refused: The template refuses the messages, in its own words.
        """
        return self.render(
            body.conversation(),
            tools=body.tool_definitions(),
            add_generation_prompt=body.add_generation_prompt,
            continue_final_message=body.continue_final_message,
            chat_template=body.chat_template,
            variables=variables,
        )

    def render(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] | None,
        add_generation_prompt: bool,
        continue_final_message: bool,
        chat_template: str | None = None,
        variables: Mapping[str, Any] | None = None,
    ) -> Prompt:
        """Return the prompt of a conversation.

        Raises:
            Refused: The template refuses the messages, in its own words.
        """
        variables = variables or {}
        own_template = chat_template or variables.get("chat_template")
        if own_template is not None and not self._trust_request_chat_template:
            raise Refused(
                "Chat template is passed with request, but --trust-request-chat-template is not "
                "set. Refused request with untrusted chat template."
            )
        if any(map(has_media, messages)):
            raise Refused(f"{self.model} is not a multimodal model")
        template = self._compiled(own_template) if own_template else self._template
        try:
            text = template.render(
                messages,
                tools=tools,
                add_generation_prompt=add_generation_prompt,
                continue_final_message=continue_final_message,
                **{key: value for key, value in variables.items() if key not in _OWN_VARIABLES},
            )
        except TemplateRefused as error:
            raise Refused(str(error)) from error
        return Prompt(messages, text, encode(text), tools or ())

    def room(self, prompt: Prompt, limit: int | None) -> int:
        """Return the number of tokens that a reply may have, at most `limit`."""
        if len(prompt.tokens) > self.max_model_len:
            # vLLM stops counting one token above the limit.
            counted = self.max_model_len + 1
            raise Refused.field(
                f"This model's maximum context length is {self.max_model_len} tokens. However, "
                f"your prompt contains at least {counted} input tokens, which exceeds this limit "
                "even without any output tokens. Please reduce the length of the input prompt.",
                "input_tokens",
                counted,
            )
        left = self.max_model_len - len(prompt.tokens)
        return left if limit is None else min(left, limit)

    def reply(self, prompt: Prompt, room: int, *, silent: bool) -> Reply:
        """Return the model's reply, of at most `room` tokens; a silent one has no text."""
        said = Said("") if silent else self._script(prompt)
        cached_tokens = self.metrics.cache.take(prompt.tokens)
        tokens = encode(said.text)
        if len(tokens) > room:
            return Reply(prompt, cached_tokens, tokens[:room], "length")
        # A model can call only what the request offers.
        offered = {tool["function"]["name"] for tool in prompt.tools}
        calls = [call for call in said.calls if call.name in offered]
        return Reply(prompt, cached_tokens, tokens, "tool_calls" if calls else "stop", calls)

    async def speak(self, reply: Reply) -> AsyncIterator[str]:
        """Yield a reply at the model's speed, and count it.

        The first piece is empty and means that the answer has begun. Each further one is a token.
        """
        self.metrics.begin(len(reply.prompt.tokens))
        reason = "abort"
        try:
            if self._latency:
                await asyncio.sleep(self._latency)
            yield ""
            for piece in decode_stepwise(reply.tokens):
                if self._seconds_per_token:
                    await asyncio.sleep(self._seconds_per_token)
                yield piece
            reason = reply.finish_reason
        finally:
            self.metrics.end(len(reply.prompt.tokens), reason)

    def _compile(self, text: str) -> ChatTemplate:
        try:
            return ChatTemplate(text, special_tokens=self._template.special_tokens)
        except TemplateInvalid as error:
            raise Refused(getattr(error.__cause__, "message", str(error))) from error


def tell(prompt: Prompt) -> Said:
    """Say what was read: the script of a model that has none."""
    return Said(answer(prompt.messages, prompt.text))


def new_id(prefix: str) -> str:
    """Return an id like vLLM's: a prefix and 16 hexadecimal digits."""
    return prefix + uuid.uuid4().hex[:16]
