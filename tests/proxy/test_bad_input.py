"""What is no conversation is answered with a 400 that names it, in each endpoint's own shape."""

from __future__ import annotations

from typing import Any

import pytest

from testing.proxied import ENDPOINTS, RUN, Backend, Proxy, error_of

USER = {"role": "user", "content": "hello"}
BAD = {
    "empty": ([], "{list}: empty"),
    "no object": ([USER, "hello"], "{list}[1]: must be an object"),
    "no role": ([USER, {"content": "hello"}], "{list}[1]: has no role"),
    "unknown role": ([USER, {"role": "wizard", "content": "x"}], "{list}[1]: unknown role"),
    "wrong content": ([USER, {"role": "user", "content": 3}], "{list}[1]: content must be"),
    "only empty": ([{"role": "user", "content": ""}], "{list}[0]: no message has any text"),
}


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("bad", BAD)
def test_a_fault_is_named_with_its_index(
    proxy: Proxy, backends: dict[str, Backend], endpoint: str, stream: bool, bad: str
) -> None:
    """The error names the message and the fault, and no backend is asked."""
    messages: Any
    messages, words = BAD[bad]
    response = proxy.ask(endpoint, "strict", messages, stream=stream)
    assert response.status_code == 400, response.text
    expected = words.format(list="input" if endpoint == "responses" else "messages")
    message = error_of(endpoint, response)["message"]
    assert f"role guard: {expected}" in message
    assert "mode: observe in the" in message or "extra_roles: ['wizard'] in the" in message
    assert endpoint == "messages" or response.headers["x-role-guard"] == "bad_input=1"
    assert all(backend.calls() == [] for backend in backends.values())


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("messages", [None, 3])
def test_messages_that_are_no_list_are_refused(
    proxy: Proxy, endpoint: str, messages: object
) -> None:
    """Missing messages, or a number in their place, give a 400."""
    field = "input" if endpoint == "responses" else "messages"
    body = {"model": "strict", "max_tokens": 8, field: messages}
    response = proxy.post(endpoint, {k: v for k, v in body.items() if v is not None})
    assert response.status_code == 400
    assert field in error_of(endpoint, response)["message"]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_rejecting_deployment_explains(
    proxy: Proxy, backends: dict[str, Backend], endpoint: str
) -> None:
    """In mode reject the 400 names the messages in the way and the reason."""
    response = proxy.ask(endpoint, "rejecting", RUN)
    assert response.status_code == 400
    message = error_of(endpoint, response)["message"]
    field = "input" if endpoint == "responses" else "messages"
    assert f"role guard: {field}[2], {field}[3]: merged: two turns in a row" in message
    assert "mode: repair in the deployment's model_info.role_guard" in message
    assert backends["a"].calls() == []


def test_an_unguarded_groups_bad_input_is_not_the_guards(
    proxy: Proxy, backends: dict[str, Backend]
) -> None:
    """What is sent to another provider's deployment is left to LiteLLM and the backend."""
    messages = [{"role": "wizard", "content": "hello"}]
    response = proxy.ask("chat", "other", messages)
    assert "role guard" not in response.text
    assert len(backends["a"].calls()) == 1


def test_system_text_beside_the_messages_counts_as_text(
    proxy: Proxy, backends: dict[str, Backend]
) -> None:
    """On /v1/messages an empty user turn is no fault where `system` says something."""
    response = proxy.ask("messages", "strict", [{"role": "user", "content": ""}], system="hi all")
    assert "no message has any text" not in response.text


@pytest.mark.parametrize("name", [7, True, ["resp_1"], {"id": "resp_1"}], ids=str)
def test_a_previous_response_that_is_no_text_is_refused(proxy: Proxy, name: object) -> None:
    """The 400 names the guard, the field, the fault and the setting that would let it through."""
    refused = proxy.ask("responses", "strict", [USER], previous_response_id=name)
    assert refused.status_code == 400, refused.text
    message = refused.json()["error"]["message"]
    assert "role guard: previous_response_id: must be a string; mode: observe" in message
    assert refused.headers["x-role-guard"] == "bad_input=1"
