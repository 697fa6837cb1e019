"""Relaxed templates in a real vLLM: sent with a request, and served with `--chat-template`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from litellm_role_guard.messages.validation import find_validation_error
from litellm_role_guard.probing.probe import TOOLS
from litellm_role_guard.profile.template_profile import TemplateProfile
from litellm_role_guard.relax.relax import relax
from litellm_role_guard.template.chat_template import ChatTemplate
from testing.bodies import AT_ONCE, CHAT, DETOKENIZE, TOKENIZE, named_as_at_tokenize, sanitized
from testing.cases import CASES
from testing.conversations import Message, assistant, developer, system, user
from testing.further_cases import FURTHER
from testing.real_templates import REAL, name
from testing.relaxed import as_known, expected
from testing.vllm import MODEL, SPECIAL_TOKENS, serving_with

SOUND = [case for case in CASES + FURTHER if find_validation_error(case.messages) is None]


@pytest.mark.parametrize("path", REAL, ids=name)
async def test_a_real_vllm_renders_the_repair(path: Path, vllm_url: str) -> None:
    """Every case, with and without tools: what our own rendering makes of the repair."""
    template = ChatTemplate(path.read_text(encoding="utf-8"), special_tokens=SPECIAL_TOKENS)
    profile = TemplateProfile.learn(template)
    lenient = relax(template, profile, source=path.name)
    gate = asyncio.Semaphore(AT_ONCE)

    async def difference(client: httpx.AsyncClient, messages: list[Message], tools: Any) -> str:
        async with gate:
            for _ in range(2):  # the date that a template writes may turn between the two
                ours = expected(template, profile, as_known(template, messages), tools=tools)
                theirs = await _prompt(client, messages, tools, lenient)
                if sanitized(ours) == sanitized(theirs):
                    return ""
        return f"{messages}:\n  ours   {ours!r}\n  theirs {theirs!r}"

    async with httpx.AsyncClient(base_url=vllm_url, timeout=120) as client:
        found = await asyncio.gather(
            *(
                difference(client, case.messages, tools)
                for case in SOUND
                for tools in (None, list(TOOLS))
            )
        )
    assert [line for line in found if line] == []


async def _prompt(
    client: httpx.AsyncClient, messages: list[Message], tools: Any, template: str | None = None
) -> str:
    body: dict[str, Any] = {"model": MODEL, "messages": list(map(named_as_at_tokenize, messages))}
    body |= {"tools": tools} if tools else {}
    body |= {"chat_template": template} if template else {}
    reply = await client.post(TOKENIZE, json=body)
    if reply.status_code != 200:
        return f"{reply.status_code}: {reply.json()['error']['message']}"
    tokens = {"model": MODEL, "tokens": reply.json()["tokens"]}
    prompt: str = (await client.post(DETOKENIZE, json=tokens)).json()["prompt"]
    return prompt


@pytest.fixture(scope="module")
def relaxed_url(gemma_3: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A vLLM that serves Gemma 3 with the relaxed template of its own."""
    folder = tmp_path_factory.mktemp("relaxed")
    template = ChatTemplate.from_path(gemma_3)
    path = folder / "relaxed.jinja"
    path.write_text(relax(template, TemplateProfile.learn(template), source=gemma_3.name))
    with serving_with(gemma_3, folder, "--chat-template", str(path)) as url:
        yield url


@pytest.mark.parametrize(
    "messages",
    [
        [user("one"), user("two")],
        [developer("be brief"), user("one")],
        [user("one"), assistant("two"), system("be brief"), user("three")],
        [system("tell a joke about cats")],
    ],
    ids=["u,u", "d,u", "u,a,s,u", "s"],
)
async def test_a_vllm_with_the_relaxed_template_answers(
    messages: list[Message], relaxed_url: str
) -> None:
    """What the original refuses gets a reply, and every text is in the prompt."""
    async with httpx.AsyncClient(base_url=relaxed_url, timeout=120) as client:
        body = {"model": MODEL, "messages": messages, "max_tokens": 2}
        reply = await client.post(CHAT, json=body)
        assert reply.status_code == 200, reply.text
        prompt = await _prompt(client, messages, None)
    assert [message["content"] for message in messages if message["content"] not in prompt] == []
