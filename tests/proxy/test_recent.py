"""`/role_guard` on the proxy and `role-guard recent`: for admins, and without anybody's words."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from litellm_role_guard.cli import main
from testing.managed import KEY, PASSWORD, TOKEN
from testing.proxied import ENDPOINTS, RUN, Proxy, answered
from testing.proxies import MASTER_KEY

TEXT = "a text that nobody may see"


def told(proxy: Proxy, key: str | None = MASTER_KEY) -> httpx.Response:
    """Ask for what was done lately."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.get(f"{proxy.url}/role_guard/recent", headers=headers)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_repair_is_listed(managed_proxy: Proxy, endpoint: str) -> None:
    """The last repair is the first in the list, with its group, kinds and roles."""
    before = told(managed_proxy).json()["groups"].get("strict", {}).get("repaired", 0)
    assert answered(managed_proxy.ask(endpoint, "strict", RUN))
    shown = told(managed_proxy).json()
    first = shown["recent"][0]
    assert (first["group"], first["outcome"], first["kinds"]) == (
        "strict",
        "repaired",
        {"merged": 1},
    )
    assert (first["before"], first["after"]) == (
        "user, assistant, user x2",
        "user, assistant, user",
    )
    assert shown["groups"]["strict"]["repaired"] == before + 1
    known = [one for one in shown["profiles"] if one["deployment"] == first["deployment"]]
    assert [one["source"] for one in known] == ["template"]


def test_profiles_have_their_age(managed_proxy: Proxy) -> None:
    """A profile that a backend told is shown with its age in seconds."""
    assert answered(managed_proxy.ask("chat", "critics", RUN))
    ages = [
        one["age"] for one in told(managed_proxy).json()["profiles"] if one["source"] == "backend"
    ]
    assert ages
    assert all(0 <= age < 600 for age in ages)


@pytest.mark.parametrize(
    ("key", "status"),
    [("sk-plain", 403), ("sk-viewer", 200), (MASTER_KEY, 200), ("sk-unknown", 401), (None, 401)],
)
def test_only_admins_may_see_it(managed_proxy: Proxy, key: str | None, status: int) -> None:
    """LiteLLM's own authentication says who is one."""
    response = told(managed_proxy, key)
    assert response.status_code in ((401, 403) if status == 401 else (status,))
    assert ("recent" in response.text) is (status == 200)


def test_the_page_itself_holds_nothing(managed_proxy: Proxy) -> None:
    """Anybody may load it; it asks for the data with a key, and runs no other script."""
    page = httpx.get(f"{managed_proxy.url}/role_guard")
    assert page.status_code == 200
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'nonce-")
    assert "strict" not in page.text.replace('"use strict"', "")
    other = httpx.get(f"{managed_proxy.url}/role_guard").headers["content-security-policy"]
    assert other != policy


def test_no_text_key_or_password_is_shown(managed_proxy: Proxy) -> None:
    """Neither the page, its data nor an error has a message's words or a credential."""
    seen = ""
    for group in ("secret", "asked", "strict"):
        for talk in ([*RUN, {"role": "user", "content": TEXT}], [{"role": TEXT, "content": TEXT}]):
            for endpoint in ENDPOINTS:
                response = managed_proxy.ask(endpoint, group, talk)
                # What a client said may come back to it from the backend, and its role from us.
                seen += response.text.replace(TEXT, "")
    seen += told(managed_proxy).text + told(managed_proxy, "sk-plain").text
    seen += httpx.get(f"{managed_proxy.url}/role_guard").text
    for hidden in (TEXT, PASSWORD, TOKEN, KEY, "sk-plain"):
        assert hidden not in seen


def run(*arguments: str) -> Any:
    """Run the command."""
    return CliRunner().invoke(main, ["recent", *arguments])


def test_the_command_shows_the_same(managed_proxy: Proxy) -> None:
    """Tables for people, JSON for programs; who sees it is up to the proxy."""
    assert answered(managed_proxy.ask("chat", "strict", RUN))
    shown = run("--proxy", managed_proxy.url, "--api-key", MASTER_KEY, "--json")
    assert json.loads(shown.stdout)["groups"]["strict"]["repaired"] >= 1
    tables = run("--proxy", managed_proxy.url, "--api-key", MASTER_KEY)
    assert tables.exit_code == 0
    assert "As told by 1 process of the proxy" in tables.stdout
    assert "strict" in tables.stdout


@pytest.mark.parametrize(
    ("path", "key", "words"),
    [
        ("", "sk-plain", "wants the key of a proxy admin"),
        ("/nowhere", MASTER_KEY, "has no /role_guard"),
    ],
)
def test_the_command_says_what_is_wrong(
    managed_proxy: Proxy, path: str, key: str, words: str
) -> None:
    """A wrong key or address is one line and exit code 2."""
    failed = run("--proxy", managed_proxy.url + path, "--api-key", key)
    assert failed.exit_code == 2
    assert words in failed.output


def test_an_address_that_cannot_be_reached_is_shown_without_its_password() -> None:
    """The error names the proxy, and no credential."""
    failed = run("--proxy", "http://ann:secret@127.0.0.1:1", "--api-key", "x")
    assert failed.exit_code == 2
    assert "http://127.0.0.1:1: cannot be reached" in failed.output
    assert "secret" not in failed.output
