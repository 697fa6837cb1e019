"""What clients send beside a conversation, and the endpoints that LiteLLM itself translates."""

from __future__ import annotations

from typing import Any

import pytest

from testing.foreign_items import FOREIGN, UNREADABLE
from testing.proxied import CLIENT, RUN, Backend, Proxy, answered, in_order, texts_of
from testing.proxies import MASTER_KEY

plain_and_stream = pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])


@plain_and_stream
def test_another_providers_code_gets_litellms_own_client(
    proxy: Proxy, bare_proxy: Proxy, backends: dict[str, Backend], stream: bool
) -> None:
    """On chat completions that code keeps the provider's prefix in the model's name: a 404."""
    guarded, bare = (
        each.ask("chat", "strict", RUN, stream=stream, custom_llm_provider="openai")
        for each in (proxy, bare_proxy)
    )
    assert guarded.json()["error"]["message"] == bare.json()["error"]["message"]
    assert guarded.status_code == bare.status_code == 404
    arrived = [call["body"]["messages"] for call in backends["a"].calls()]
    assert [len(messages) for messages in arrived] == [len(RUN) - 1, len(RUN)]


@pytest.mark.parametrize(
    ("endpoint", "provider"),
    [("messages", "openai"), ("responses", "openai"), ("chat", "hosted_vllm")],
)
@plain_and_stream
def test_a_client_may_name_the_provider(
    proxy: Proxy, backends: dict[str, Backend], endpoint: str, stream: bool, provider: str
) -> None:
    """Where LiteLLM overrules it, or it is the deployment's own, all is as without it."""
    response = proxy.ask(endpoint, "strict", RUN, stream=stream, custom_llm_provider=provider)
    assert answered(response), response.text
    assert response.headers["x-role-guard"] == "merged=1"
    (call,) = backends["a"].calls()
    assert in_order(texts_of(RUN), call["prompt"])


@pytest.mark.parametrize("method", ["generateContent", "streamGenerateContent"])
def test_the_header_stands_on_geminis_endpoint(
    proxy: Proxy, backends: dict[str, Backend], method: str
) -> None:
    """LiteLLM answers it by a chat completion of its own, which is repaired and told of."""
    contents = [
        {
            "role": "user" if message["role"] == "user" else "model",
            "parts": [{"text": message["content"]}],
        }
        for message in RUN
    ]
    response = CLIENT.post(
        f"{proxy.url}/v1beta/models/strict:{method}",
        json={"contents": contents},
        headers={"Authorization": f"Bearer {MASTER_KEY}"},
    )
    assert response.status_code == 200, response.text
    assert response.headers["x-role-guard"] == "merged=1"
    assert in_order(texts_of(RUN), backends["a"].calls()[0]["prompt"])


@pytest.mark.parametrize("method", ["generateContent", "streamGenerateContent"])
def test_what_litellm_leaves_out_of_geminis_requests_is_read(
    proxy: Proxy, backends: dict[str, Backend], method: str
) -> None:
    """The second part of the system instruction, a response in its own role, what stands behind."""
    call = {"functionCall": {"name": "look", "args": {"at": "sky"}}}
    response = {"functionResponse": {"name": "look", "response": {"output": "blue"}}}
    contents = [
        {"role": "user", "parts": [{"text": "which colour?"}]},
        {"role": "model", "parts": [call]},
        {"role": "function", "parts": [response, {"text": "and tomorrow?"}]},
    ]
    system = {"parts": [{"text": "be kind"}, {"text": "be brief"}]}
    answer = CLIENT.post(
        f"{proxy.url}/v1beta/models/strict:{method}",
        json={"contents": contents, "systemInstruction": system},
        headers={"Authorization": f"Bearer {MASTER_KEY}"},
    )
    assert answer.status_code == 200, answer.text
    texts = ["be kind", "be brief", "which colour?", "sky", "blue", "and tomorrow?"]
    assert in_order(texts, backends["a"].calls()[0]["prompt"])


def test_a_fault_in_geminis_request_is_named(proxy: Proxy, backends: dict[str, Backend]) -> None:
    """LiteLLM would leave the content out, and the model answer without having read it."""
    contents = [{"role": "user", "parts": [{"text": "hi"}]}, {"role": "system", "parts": []}]
    answer = CLIENT.post(
        f"{proxy.url}/v1beta/models/strict:generateContent",
        json={"contents": contents},
        headers={"Authorization": f"Bearer {MASTER_KEY}"},
    )
    assert answer.status_code == 400, answer.text
    assert "role guard: contents[1]: unknown role 'system'" in answer.json()["error"]["message"]
    assert "mode: observe in the deployment's model_info.role_guard" in answer.text
    assert backends["a"].calls() == []


def test_calls_in_another_provider_s_form_are_read(
    proxy: Proxy, backends: dict[str, Backend]
) -> None:
    """Without ids, with arguments as an object; vLLM refuses them whatever the template."""
    call = {"function": {"name": "look", "arguments": {"at": "the sky"}}}
    messages: list[dict[str, Any]] = [
        RUN[0],
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "name": "look", "content": "it is blue"},
        {"role": "user", "content": [{"type": "input_text", "text": "and at night?"}]},
    ]
    response = proxy.ask("chat", "strict", messages)
    assert answered(response), response.text
    (received,) = backends["a"].calls()
    assert in_order(["hello", "the sky", "it is blue", "and at night?"], received["prompt"])


@pytest.mark.parametrize("fields", [{}, {"tool_choice": "auto"}], ids=["bare", "auto"])
def test_an_empty_list_of_tools_is_left_out(
    proxy: Proxy, backends: dict[str, Backend], fields: dict[str, Any]
) -> None:
    """A vLLM refuses it on chat completions, and says nothing about the conversation."""
    response = proxy.ask("chat", "strict", RUN[:3], tools=[], **fields)
    assert answered(response), response.text
    assert response.headers["x-role-guard"] == "tools=1"
    (call,) = backends["a"].calls()
    assert "tools" not in call["body"]
    assert "tool_choice" not in call["body"]


def test_an_empty_list_of_tools_stays_where_it_is_taken(
    proxy: Proxy, backends: dict[str, Backend]
) -> None:
    """A vLLM takes it on /v1/responses, where the OpenAI Agents SDK sends it."""
    response = proxy.ask("responses", "strict", RUN[:3], tools=[])
    assert answered(response), response.text
    assert "x-role-guard" not in response.headers
    (call,) = backends["a"].calls()
    assert call["body"]["tools"] == []


@pytest.mark.parametrize("kind", [*FOREIGN, "nothing that can be read"])
@plain_and_stream
def test_each_foreign_item_is_answered(
    proxy: Proxy, backends: dict[str, Backend], kind: str, stream: bool
) -> None:
    """The simulator refuses what vLLM refuses; nothing but what the guard sends is answered."""
    made = FOREIGN[kind]("zebra") if kind in FOREIGN else list(UNREADABLE.values())
    response = proxy.ask("responses", "strict", [RUN[0], *made, RUN[3]], stream=stream)
    assert answered(response), response.text
    assert "items=" in response.headers["x-role-guard"]
    (call,) = backends["a"].calls()
    said = ["zebra"] if kind in FOREIGN else []
    assert in_order(["hello", *said, "and now?"], call["prompt"])
