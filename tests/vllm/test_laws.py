"""The laws of a repair, judged by a real vLLM: what it refuses, and what its model would read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from litellm_role_guard.messages.message import Message
from litellm_role_guard.messages.validation import find_validation_error
from litellm_role_guard.probing.probe import TOOLS
from litellm_role_guard.repair.chain import repair
from litellm_role_guard.template.chat_template import ChatTemplate
from litellm_role_guard.template.errors import TemplateRefused
from testing.bodies import DETOKENIZE, TOKENIZE, to_vllm_messages
from testing.exemptions import unexpected
from testing.laws import Conversation, broken_laws, conversations
from testing.learnt import learnt
from testing.real_templates import REAL, name
from testing.vllm import MODEL, SPECIAL_TOKENS

AT_ONCE = 10


class Server:
    """A vLLM that renders one template, asked about many conversations at once beforehand.

    Args:
        url: Its address.
        template: The text of the template.
    """

    def __init__(self, url: str, template: str) -> None:
        self._url = url
        self._template = template
        self._prompts: dict[str, str | None] = {}

    def render(self, messages: Sequence[Message], *, tools: Sequence[Any] | None) -> str:
        """Give the prompt of a conversation that was asked about."""
        prompt = self._prompts[_key(messages, tools)]
        if prompt is None:
            raise TemplateRefused("by the server")
        return prompt

    async def ask(self, talks: Sequence[tuple[Sequence[Message], Sequence[Any] | None]]) -> None:
        """Have conversations rendered, each with its tools or None."""
        async with httpx.AsyncClient(base_url=self._url, timeout=120) as client:
            prompts = await asyncio.gather(*(self._ask(client, *talk) for talk in talks))
        self._prompts = {_key(*talk): prompt for talk, prompt in zip(talks, prompts, strict=True)}

    async def _ask(
        self, client: httpx.AsyncClient, messages: Sequence[Message], tools: Sequence[Any] | None
    ) -> str | None:
        body = {
            "model": MODEL,
            "chat_template": self._template,
            "messages": to_vllm_messages(messages),
        }
        if tools:
            body["tools"] = list(tools)
        reply = await client.post(TOKENIZE, json=body)
        if reply.status_code != 200:
            assert reply.status_code == 400, reply.text
            return None
        tokens = {"model": MODEL, "tokens": reply.json()["tokens"]}
        prompt: str = (await client.post(DETOKENIZE, json=tokens)).json()["prompt"]
        return prompt


def _key(messages: Sequence[Message], tools: Sequence[Any] | None) -> str:
    return json.dumps([messages, bool(tools)])


@pytest.mark.parametrize("path", REAL, ids=name)
@given(
    talks=st.lists(
        st.tuples(conversations(rough=True, images=False), st.booleans()),
        min_size=AT_ONCE,
        max_size=AT_ONCE,
    )
)
@settings(
    max_examples=8,  # of ten conversations each
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_what_is_repaired_is_taken_and_read_by_a_real_vllm(
    path: Path, talks: list[tuple[Conversation, bool]], vllm_url: str
) -> None:
    """Accepted, whole, and unchanged where it was whole; 80 conversations for each template."""
    text, (_, profile) = path.read_text(encoding="utf-8"), learnt(path)
    sound = [(talk, tools) for talk, tools in talks if find_validation_error(talk.messages) is None]
    asked: dict[str, tuple[Sequence[Message], Sequence[Any] | None]] = {}
    for talk, with_tools in sound:
        tools = TOOLS if with_tools else None
        repaired = repair(talk.messages, profile, tools=tools).messages
        for messages in (talk.messages, repaired):
            asked[_key(messages, tools)] = messages, tools
    server, judge = Server(vllm_url, text), ChatTemplate(text, special_tokens=SPECIAL_TOKENS)
    asyncio.run(server.ask(list(asked.values())))
    for talk, with_tools in sound:
        broken = broken_laws(server, profile, talk, tools=with_tools, judge=judge)
        assert list(unexpected(broken, name(path), talk.messages)) == []
