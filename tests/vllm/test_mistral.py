"""Backends in `--tokenizer-mode mistral` have no chat template: mistral-common's rules decide.

A real vLLM judges for the one version of the rules that its tokenizer has, and mistral-common
itself, in the Python of that vLLM, for the others.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, assume, given, settings

from litellm_role_guard.messages.message import Message
from litellm_role_guard.messages.validation import find_validation_error
from litellm_role_guard.probing.live import learn_from_backend
from litellm_role_guard.probing.local import learn
from litellm_role_guard.probing.probe import TOOLS, Probe, Rendering
from litellm_role_guard.profile.template_profile import TemplateProfile
from litellm_role_guard.repair.chain import repair
from testing import wire
from testing.asked_backend import at
from testing.bodies import CHAT, DETOKENIZE, to_vllm_messages
from testing.cases import CASES
from testing.conversations import Case
from testing.further_cases import FURTHER
from testing.laws import Conversation, conversations
from testing.marks import marked
from testing.proxies import MASTER_KEY, start_proxy
from testing.vllm import MISTRAL, PYTHON, SCRIPTS

VERSIONS = ("v1", "v3", "v7", "v11", "v13")

ALL = CASES + FURTHER
# The guard itself answers the others with a 400 that names the message.
WHOLESOME = [case for case in ALL if find_validation_error(case.messages) is None]

_ENDS = "Cannot set `add_generation_prompt` to True when the last message is from the assistant"
_SYSTEM = "Unexpected role 'system' after role "
_EITHER = "Assistant message must have either content or tool_calls, but not both."
_TOGETHER = "Cannot have tool calls and content defined in the same assistant message"
_THOUGHT = "Unexpected content chunk types in assistant message: ['ThinkChunk']"

REFUSED = {
    "09-system-in-the-middle": f"{_SYSTEM}'assistant'",
    "10-systems-all-along": f"{_SYSTEM}'tool'",
    "15-assistant-after-tool": _ENDS,
    "17-tool-after-user": "Unexpected role 'tool' after role 'user'",
    "18a-text-then-call": _TOGETHER,
    "19-two-assistants-at-the-end": _ENDS,
    "22-tools-to-a-template-without": _EITHER,
    "assistant-only": _ENDS,
    "assistant-last": _ENDS,
    "system-assistant-assistant": _ENDS,
    "system-after-answer": f"{_SYSTEM}'assistant'",
    "developer-and-later-system": f"{_SYSTEM}'assistant'",
    "unknown-role": "Unknown message role: observer",
    "unknown-role-second": "Unknown message role: critic",
    "function-role": "Unknown message role: function",
    "tool-parts": "'tool_call_id'",
    "white-space": _EITHER,
    "user-without-content": "'content'",
    "assistant-null": _EITHER,
    "assistant-no-content": _EITHER,
    "refusal": _EITHER,
    "refusal-part": "'refusal' is not a valid ChunkTypes",
    "reasoning": _THOUGHT,
    "call-with-text": _ENDS,
    "call-with-bad-arguments": _EITHER,
    "tool-without-id": "'tool_call_id'",
    "call-last": _ENDS,
    "call-then-text": "Not the same number of function calls and responses",
    "system-within-a-tool-round": f"{_SYSTEM}'assistant'",
    "developer-after-a-tool-round": f"{_SYSTEM}'tool'",
    "call-with-reasoning": _THOUGHT,
    "call-with-parts": _ENDS,
    "developer-last": f"{_SYSTEM}'assistant'",
    "system-without-content": "'content'",
    "function-in-the-middle": "Unknown message role: function",
}
"""How the words begin in which vLLM refuses; what is not here is taken."""


def ask(url: str, messages: Sequence[Any], tools: Sequence[Any] | None) -> httpx.Response:
    """Ask for one token of a reply."""
    body: dict[str, Any] = {"model": MISTRAL, "messages": list(messages), "max_tokens": 1}
    body["return_token_ids"] = True
    if tools:
        body |= {"tools": tools, "tool_choice": "none"}
    return httpx.post(url + CHAT, json=body, timeout=120)


@pytest.fixture(scope="module")
def learnt(mistral_url: str) -> TemplateProfile:
    """The profile that is learnt from the running server."""
    return asyncio.run(learn_from_backend(at(mistral_url, model=MISTRAL)))


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_what_a_mistral_backend_refuses(mistral_url: str, case: Case) -> None:
    """The refusals that are known, in the words that are known, and no others."""
    reply = ask(mistral_url, case.messages, case.tools)
    if case.name not in REFUSED:
        assert reply.status_code == 200, reply.text
    else:
        assert reply.status_code == 400
        assert reply.json()["error"]["message"].startswith(REFUSED[case.name])


@pytest.mark.parametrize("case", WHOLESOME, ids=lambda case: case.name)
def test_a_repaired_conversation_is_answered(
    mistral_url: str, learnt: TemplateProfile, case: Case
) -> None:
    """With the profile that the server taught, with tools and without; and it is read whole."""
    talk = marked(case)
    for tools in (None, case.tools) if case.tools else (None,):
        repaired = repair(talk.messages, learnt, tools=tools).messages
        reply = ask(mistral_url, to_vllm_messages(repaired), tools)
        assert reply.status_code == 200, f"{reply.json()['error']['message']}\n{repaired}"
        tokens = {"model": MISTRAL, "tokens": reply.json()["prompt_token_ids"]}
        prompt = httpx.post(mistral_url + DETOKENIZE, json=tokens, timeout=120).json()["prompt"]
        assert talk.unread(prompt) == [], f"{prompt}\n{repaired}"


@pytest.fixture(scope="module")
def proxy(mistral_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a proxy whose guard has to ask the backend."""
    deployment = {
        "model_name": MISTRAL,
        "litellm_params": {"model": f"hosted_vllm/{MISTRAL}", "api_base": f"{mistral_url}/v1"},
        "model_info": {"role_guard": {"learn_wait": 30.0}},
    }
    config = {
        "model_list": [deployment],
        "litellm_settings": {"callbacks": ["litellm_role_guard.role_guard"]},
    }
    with start_proxy(config, tmp_path_factory.mktemp("proxy")) as url:
        yield url


@pytest.mark.parametrize("case", WHOLESOME, ids=lambda case: case.name)
def test_a_proxy_gets_every_conversation_answered(proxy: str, case: Case) -> None:
    """With what the guard asked the backend by itself, through all that LiteLLM does besides."""
    body = {**wire.chat(case.messages, case.tools), "model": MISTRAL, "max_tokens": 1}
    if case.tools:
        body["tool_choice"] = "none"
    headers = {"Authorization": f"Bearer {MASTER_KEY}"}
    reply = httpx.post(proxy + CHAT, json=body, headers=headers, timeout=120)
    assert reply.status_code == 200, reply.text


Judge = Callable[[str, Sequence[Message], Sequence[Any] | None], dict[str, str]]
"""Gives `prompt`, or the words in which a conversation was `refused`."""


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    """mistral-common in a process of its own, since it is no dependency of ours."""
    command = [PYTHON, SCRIPTS / "judge_mistral.py"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        asked, answers = process.stdin, process.stdout
        assert asked is not None
        assert answers is not None

        def answer(
            version: str, messages: Sequence[Message], tools: Sequence[Any] | None
        ) -> dict[str, str]:
            probe = {"version": version, "messages": list(messages), "tools": tools}
            print(json.dumps(probe), file=asked, flush=True)
            said: dict[str, str] = json.loads(answers.readline())
            return said

        yield answer
        asked.close()


@pytest.fixture(scope="module")
def learn_version(judge: Judge) -> Callable[[str], TemplateProfile]:
    """Learns a version's profile from mistral-common, once."""

    @cache
    def profile(version: str) -> TemplateProfile:
        def read(probe: Probe) -> Rendering:
            tools = list(TOOLS) if probe.tools else None
            return judge(version, to_vllm_messages(probe.messages), tools).get("prompt")

        return learn(read)

    return profile


@pytest.mark.parametrize("case", WHOLESOME, ids=lambda case: case.name)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_repaired_conversation_passes_the_rules_of_every_version(
    judge: Judge, learn_version: Callable[[str], TemplateProfile], version: str, case: Case
) -> None:
    """Those for serving, the strictest; and the prompt holds all that was said, in order."""
    talk = marked(case)
    for tools in (None, case.tools) if case.tools else (None,):
        repaired = repair(talk.messages, learn_version(version), tools=tools).messages
        said = judge(version, to_vllm_messages(repaired), tools)
        assert "refused" not in said, f"{said['refused']}\n{repaired}"
        assert talk.unread(said["prompt"]) == [], f"{said['prompt']}\n{repaired}"


@pytest.mark.parametrize("version", VERSIONS)
@given(conversation=conversations(rough=True, images=False))
@settings(
    max_examples=200,
    deadline=None,  # the first one learns the profile
    suppress_health_check=[HealthCheck.too_slow],
)
def test_any_repaired_conversation_passes_the_rules_of_every_version(
    judge: Judge,
    learn_version: Callable[[str], TemplateProfile],
    version: str,
    conversation: Conversation,
) -> None:
    """All roles in any order, calls without results, results without calls, empty contents."""
    assume(find_validation_error(conversation.messages) is None)
    for tools in (None, list(TOOLS)):
        repaired = repair(conversation.messages, learn_version(version), tools=tools).messages
        said = judge(version, to_vllm_messages(repaired), tools)
        assert "refused" not in said, f"{said['refused']}\n{repaired}"
        assert [mark for _, mark in conversation.marks if mark not in said["prompt"]] == []
