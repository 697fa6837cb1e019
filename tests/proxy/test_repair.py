"""What a client of the proxy gets, on all three endpoints, streamed and not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from testing.proxied import ENDPOINTS, RUN, Backend, Proxy, answered, in_order, texts_of

on_all_endpoints = pytest.mark.parametrize("endpoint", ENDPOINTS)
plain_and_stream = pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])


@on_all_endpoints
@plain_and_stream
@pytest.mark.parametrize("group", ["strict", "cautious"])
def test_what_the_backend_refuses_is_answered(
    proxy: Proxy, backends: dict[str, Backend], endpoint: str, stream: bool, group: str
) -> None:
    """A run of user turns is answered in one call, every text is in the prompt, in order."""
    response = proxy.ask(endpoint, group, RUN, stream=stream)
    assert answered(response), response.text
    assert response.headers["x-role-guard"] == "merged=1"
    (call,) = backends["a"].calls()
    assert in_order(texts_of(RUN), call["prompt"])


@on_all_endpoints
@plain_and_stream
def test_a_fine_conversation_arrives_as_it_is(
    proxy: Proxy, backends: dict[str, Backend], endpoint: str, stream: bool
) -> None:
    """What the template takes is sent as the proxy without the guard sends it; no header."""
    response = proxy.ask(endpoint, "strict", RUN[:3], stream=stream)
    assert answered(response), response.text
    assert "x-role-guard" not in response.headers
    (call,) = backends["a"].calls()
    sent = call["body"]["input" if endpoint == "responses" else "messages"]
    assert [message["role"] for message in sent] == ["user", "assistant", "user"]
    assert in_order(texts_of(RUN[:3]), call["prompt"])


@on_all_endpoints
@plain_and_stream
@pytest.mark.parametrize("group", ["other", "off"])
def test_an_unguarded_group_is_untouched(
    proxy: Proxy, backends: dict[str, Backend], endpoint: str, stream: bool, group: str
) -> None:
    """Another provider's deployment, or one in mode off, gets what the client sent: refused."""
    response = proxy.ask(endpoint, group, RUN, stream=stream)
    assert response.status_code == 400
    assert "x-role-guard" not in response.headers
    assert [call["status"] for call in backends["a"].calls()] == [400]


@on_all_endpoints
@plain_and_stream
def test_without_the_plugin_litellm_is_itself(
    bare_proxy: Proxy, backends: dict[str, Backend], endpoint: str, stream: bool
) -> None:
    """A config without the plugin's lines passes the backend's refusal on."""
    response = bare_proxy.ask(endpoint, "strict", RUN, stream=stream)
    assert response.status_code == 400
    assert "roles must alternate" in response.text
    assert [call["status"] for call in backends["a"].calls()] == [400]


@on_all_endpoints
@plain_and_stream
def test_observe_only_reports(
    proxy: Proxy, backends: dict[str, Backend], endpoint: str, stream: bool
) -> None:
    """In mode observe the backend gets what the client sent, and the header tells the rest."""
    response = proxy.ask(endpoint, "observed", RUN, stream=stream)
    assert answered(response), response.text
    assert response.headers["x-role-guard"] == "observe; merged=1"
    (call,) = backends["lenient"].calls()
    sent = call["body"]["input" if endpoint == "responses" else "messages"]
    assert len(sent) == len(RUN)


@on_all_endpoints
@plain_and_stream
def test_a_fallback_gets_the_repair_of_the_deployment_that_answers(
    proxy: Proxy, backends: dict[str, Backend], endpoint: str, stream: bool
) -> None:
    """A fallback joins the client's own messages with its own separator, and its report wins."""
    response = proxy.ask(endpoint, "gone", RUN, stream=stream)
    assert answered(response), response.text
    assert response.headers["x-role-guard"] == "merged=1"
    (call,) = backends["b"].calls()
    assert "are you there? second and now?" in call["prompt"]
    assert " gone " not in call["prompt"]


def test_vendor_parameters_arrive_untouched(proxy: Proxy, backends: dict[str, Backend]) -> None:
    """What only vLLM knows reaches it in a repaired request as it was sent."""
    vendor: dict[str, Any] = {
        "guided_choice": ["yes", "no"],
        "chat_template_kwargs": {"enable_thinking": False},
        "echo": True,
        "documents": [{"title": "t", "text": "d"}],
        "top_k": 3,
    }
    response = proxy.ask("chat", "strict", RUN, **vendor)
    assert response.headers["x-role-guard"] == "merged=1"
    (call,) = backends["a"].calls()
    assert {name: call["body"].get(name) for name in vendor} == vendor


@pytest.mark.parametrize(
    "fields",
    [
        {"continue_final_message": True, "add_generation_prompt": False},
        {"extra_body": {"continue_final_message": True, "add_generation_prompt": False}},
    ],
)
def test_a_prefill_is_continued(
    proxy: Proxy, backends: dict[str, Backend], fields: dict[str, Any]
) -> None:
    """The opening of a reply stays the end of the prompt, in a repaired request as well."""
    opening = {"role": "assistant", "content": "Well, I"}
    response = proxy.ask("chat", "strict", [*RUN, opening], **fields)
    assert response.status_code == 200, response.text
    (call,) = backends["a"].calls()
    assert call["body"]["messages"][-1] == opening
    assert call["prompt"].endswith("Well, I")


def test_a_message_for_developers_is_sent_as_system(
    proxy: Proxy, backends: dict[str, Backend]
) -> None:
    """A developer message needs no repair where LiteLLM makes it the system message in front."""
    messages = [{"role": "developer", "content": "be kind"}, *RUN[:3]]
    response = proxy.ask("chat", "strict", messages)
    assert response.status_code == 200, response.text
    assert "x-role-guard" not in response.headers
    (call,) = backends["a"].calls()
    assert call["body"]["messages"][0] == {"role": "system", "content": "be kind"}


@on_all_endpoints
def test_the_proxys_log_has_one_line(proxy: Proxy, endpoint: str, folder: Path) -> None:
    """What was done stands in the proxy's log once, with time, group and deployment."""
    log = folder / "proxy.log"
    before = log.read_text()
    assert answered(proxy.ask(endpoint, "strict", RUN))
    lines = [line for line in log.read_text()[len(before) :].splitlines() if "role_guard" in line]
    (line,) = lines
    assert re.fullmatch(
        r"20\d\d-.* INFO litellm_role_guard: merged=1 group=strict deployment=\w+ .*", line
    )


def test_bad_input_is_observed_and_passed_on(
    proxy: Proxy, backends: dict[str, Backend], folder: Path
) -> None:
    """In mode observe the backend has the word on what is no conversation; the log tells of it."""
    response = proxy.ask("chat", "observed", [{"role": "wizard", "content": "hello"}])
    assert "role guard" not in response.text
    assert len(backends["lenient"].calls()) == 1
    assert "observe; bad_input=1 group=observed" in (folder / "proxy.log").read_text()


@on_all_endpoints
def test_the_guard_log_has_no_message_text(proxy: Proxy, endpoint: str, folder: Any) -> None:
    """Nothing that a client wrote stands in the proxy's log."""
    secret = "a text that nobody may log"
    proxy.ask(endpoint, "strict", [*RUN, {"role": "user", "content": secret}])
    assert secret not in (folder / "proxy.log").read_text()
