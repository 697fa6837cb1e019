"""Settings of a key, a team and a request, on a proxy that knows its keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from testing.managed import Log
from testing.proxied import ENDPOINTS, RUN, Backend, Proxy, answered, body_of

FORGED: dict[str, Any] = {
    "user_api_key_metadata": {"role_guard": {"mode": "off"}},
    "user_api_key_team_metadata": {"role_guard": {"mode": "off"}},
    "user_api_key_auth": {
        "metadata": {"role_guard": {"mode": "off"}},
        "team_metadata": {"role_guard": {"mode": "off"}},
    },
    "role_guard": {"mode": "off"},
}


def ask(proxy: Proxy, endpoint: str, key: str, **fields: Any) -> httpx.Response:
    """Ask the strict group with a key."""
    body = body_of(endpoint, "strict", RUN) | fields
    return proxy.post(endpoint, body, headers={"Authorization": f"Bearer {key}"})


def said(response: httpx.Response) -> str | None:
    """Give what the guard says that it did."""
    header: str | None = response.headers.get("x-role-guard")
    return header


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize(
    ("key", "header"),
    [
        ("sk-plain", "merged=1"),
        ("sk-off", None),
        ("sk-observed", "observe; merged=1"),
        ("sk-team", "observe; merged=1"),
        ("sk-both", "merged=1"),
        ("sk-wrong", "merged=1"),
    ],
)
def test_an_admin_steers_a_key_and_its_team(
    managed_proxy: Proxy, endpoint: str, key: str, header: str | None
) -> None:
    """A key's metadata holds before its team's, that before the deployment's; a wrong one not."""
    response = ask(managed_proxy, endpoint, key)
    assert answered(response) is (header == "merged=1")
    # On /v1/messages LiteLLM leaves no place for a header on the backend's errors.
    assert said(response) == (header if answered(response) or endpoint != "messages" else None)


def test_a_teams_setting_holds_where_the_key_says_nothing(
    managed_proxy: Proxy, backends: dict[str, Backend]
) -> None:
    """Key by key, the nearest to the request holds: the team's separator, the key's mode."""
    assert answered(ask(managed_proxy, "chat", "sk-both"))
    (call,) = backends["a"].calls()
    assert call["body"]["messages"][-1]["content"] == "are you there? / and now?"


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_key_is_steered_to_a_template_of_its_own(managed_proxy: Proxy, endpoint: str) -> None:
    """What one key's template needs is not done for others at the same deployment."""
    for key, header in (("sk-template", "merged=1"), ("sk-plain", None)):
        body = body_of(endpoint, "critics", RUN)
        response = managed_proxy.post(endpoint, body, headers={"Authorization": f"Bearer {key}"})
        assert answered(response)
        assert said(response) == header


def test_a_wrong_metadata_is_told_once(managed_proxy: Proxy, managed_folder: Path) -> None:
    """The log says which key's metadata is not obeyed, where, and what was meant."""
    for _ in range(2):
        ask(managed_proxy, "chat", "sk-wrong")
    written = (managed_folder / "proxy.log").read_text()
    assert written.count("key 'wrong': not obeyed: metadata.role_guard.mdoe: unknown setting") == 1


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("field", ["metadata", "litellm_metadata", "both"])
def test_a_client_cannot_forge_metadata(managed_proxy: Proxy, endpoint: str, field: str) -> None:
    """What a client puts where the proxy keeps a key's metadata steers nothing."""
    fields = ("metadata", "litellm_metadata") if field == "both" else (field,)
    response = ask(managed_proxy, endpoint, "sk-plain", **dict.fromkeys(fields, FORGED))
    assert said(response) == "merged=1"


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_client_sets_what_it_may(managed_proxy: Proxy, endpoint: str) -> None:
    """The header and the body's field set the mode, over the key's; the field over the header."""
    header = {"Authorization": "Bearer sk-plain", "x-role-guard": "mode=observe"}
    body = body_of(endpoint, "strict", RUN)
    observed = managed_proxy.post(endpoint, body, headers=header)
    assert observed.status_code == 400
    assert endpoint == "messages" or said(observed) == "observe; merged=1"
    steered = body | {"role_guard": {"mode": "repair"}}
    assert said(managed_proxy.post(endpoint, steered, headers=header)) == "merged=1"
    assert said(ask(managed_proxy, endpoint, "sk-off", role_guard={"mode": "repair"})) == "merged=1"


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_what_a_client_may_not_set_is_not_obeyed(
    managed_proxy: Proxy, backends: dict[str, Backend], endpoint: str
) -> None:
    """Other settings are read past, and none of it reaches the backend."""
    fields = {"role_guard": {"separator": "!", "chat_template": "/etc/passwd", "mode": "repair"}}
    headers = {"Authorization": "Bearer sk-plain", "x-role-guard": "separator=!; mode=repair"}
    body = body_of(endpoint, "strict", RUN) | fields
    assert said(managed_proxy.post(endpoint, body, headers=headers)) == "merged=1"
    (call,) = backends["a"].calls()
    assert "role_guard" not in str(call["body"])
    assert "!" not in str(call["body"])


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_wrong_value_of_a_clients_is_a_400(managed_proxy: Proxy, endpoint: str) -> None:
    """The client learns what its setting may be."""
    response = ask(managed_proxy, endpoint, "sk-plain", role_guard={"mode": "fix"})
    assert response.status_code == 400
    assert "role guard: role_guard.mode: must be 'repair', 'observe'" in response.text


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_by_default_a_client_sets_nothing(
    proxy: Proxy, backends: dict[str, Backend], endpoint: str
) -> None:
    """Without `request_override` header and field are read past, and go no further."""
    body = body_of(endpoint, "strict", RUN) | {"role_guard": {"mode": "off"}}
    response = proxy.post(endpoint, body, headers={"x-role-guard": "mode=off"})
    assert said(response) == "merged=1"
    (call,) = backends["a"].calls()
    assert "role_guard" not in call["body"]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_a_role_that_the_template_knows_goes_through(
    managed_proxy: Proxy, critics: Backend, stream: bool
) -> None:
    """A critic gets to a template that knows critics as it was sent; a wizard does not."""
    critics.forget()
    talk = [*RUN[:2], {"role": "critic", "content": "too long"}, RUN[3]]
    response = managed_proxy.ask("chat", "critics", talk, stream=stream)
    assert answered(response)
    assert said(response) is None
    (call,) = [call for call in critics.calls() if call["path"].endswith("completions")]
    assert call["body"]["messages"] == talk
    talk[2] = {"role": "wizard", "content": "too long"}
    refused = managed_proxy.ask("chat", "critics", talk)
    assert refused.status_code == 400
    assert "role guard: messages[2]: unknown role 'wizard'" in refused.text
    assert "extra_roles: ['wizard'] in the deployment's" in refused.text
    assert said(refused) == "bad_input=1"


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_many_prompts_in_one_list_are_told(
    managed_proxy: Proxy, managed_folder: Path, endpoint: str
) -> None:
    """Fifty user messages are answered as one turn, and header and log say how many they were."""
    log = Log(managed_folder / "proxy.log")
    many = [{"role": "user", "content": f"prompt {number}"} for number in range(50)]
    response = managed_proxy.ask(endpoint, "strict", many)
    assert answered(response)
    assert said(response) == "merged=1 of 50 messages"
    (line,) = log.lines
    assert line["message"].startswith("merged=1 of 50 messages group=strict")
    assert "50 user messages in a row were answered as one turn" in line["note"]
    assert said(managed_proxy.ask(endpoint, "strict", many[:7])) == "merged=1"
