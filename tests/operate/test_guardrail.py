"""The guard in LiteLLM's own record, its guardrails, spans, headers and metrics."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
import pytest

from testing.collector import Span
from testing.proxied import ENDPOINTS, RUN, answered
from testing.watched import PASSWORD, Operated, bearer

APPLIED = "x-litellm-applied-guardrails"
MARK = "a-name-that-a-client-made-up"
TEXT = "a-text-that-nobody-else-may-see"

on_all_endpoints = pytest.mark.parametrize("endpoint", ENDPOINTS)


def ask(
    operated: Operated,
    endpoint: str,
    group: str,
    messages: list[dict[str, Any]],
    *,
    key: str = "sk-plain",
    **fields: Any,
) -> httpx.Response:
    """Ask with a key of `auth.py`."""
    body: dict[str, Any] = {"model": group, **fields}
    if endpoint == "responses":
        body["input"] = messages
    else:
        body |= {"messages": messages, "max_tokens": 16}
    return operated.proxy.post(endpoint, body, headers=bearer(key))


def entries(operated: Operated, known: int, expected: int) -> list[tuple[Span, dict[str, Any]]]:
    """Return the guardrail spans beyond those known before, each with its response."""
    deadline = time.monotonic() + 20
    spans: list[Span] = []
    while len(spans) < expected and time.monotonic() < deadline:
        time.sleep(0.1)  # the exporter sends in batches
        spans = operated.collector.spans("guardrail")[known:]
    return [(span, json.loads(span["guardrail_response"])) for span in spans]


def test_the_guardrail_is_listed_without_a_database(operated: Operated) -> None:
    """What the Admin UI lists names each entry."""
    answer = httpx.get(
        f"{operated.proxy.url}/v2/guardrails/list", headers=bearer("sk-admin"), timeout=60
    )
    names = {each["guardrail_name"] for each in answer.json()["guardrails"]}
    assert names == {"role-guard", "on-demand"}


@on_all_endpoints
def test_a_repair_is_recorded_once(operated: Operated, endpoint: str) -> None:
    """Registered in both ways, the guard repairs once, with one span, one header and one count."""
    known = len(operated.collector.spans("guardrail"))
    before = operated.count("role_guard_requests_total", group="strict", outcome="repaired")
    operated.backend.forget()
    response = ask(operated, endpoint, "strict", RUN)
    assert answered(response), response.text
    assert response.headers["x-role-guard"] == "merged=1"
    assert response.headers[APPLIED] == "role-guard"
    assert len(operated.backend.calls()) == 1
    ((span, said),) = entries(operated, known, 1)
    assert span["guardrail_name"] == "role-guard"
    assert span["guardrail_status"] == "success"
    assert said == {"mode": "repair", "changes": {"merged": 1}, "retried": 0}
    after = operated.count("role_guard_requests_total", group="strict", outcome="repaired")
    assert after == before + 1


def test_a_retry_is_recorded(operated: Operated) -> None:
    """A refused request that was answered in its repaired form has its span and its counts."""
    known = len(operated.collector.spans("guardrail"))
    response = ask(operated, "chat", "taught", RUN)
    assert response.headers["x-role-guard"] == "merged=1; retried=1"
    assert response.headers[APPLIED] == "role-guard"
    ((_, said),) = entries(operated, known, 1)
    assert said == {"mode": "repair", "changes": {"merged": 1}, "retried": 1}
    assert operated.count("role_guard_retries_total", group="taught", outcome="answered") == 1
    assert operated.count("role_guard_refusals_total", group="taught", family="turns") == 1
    assert operated.count("role_guard_changes_total", group="taught", kind="merged") == 1


@pytest.mark.parametrize(
    ("group", "messages", "outcome", "status"),
    [
        ("observed", RUN, "observed", "success"),
        ("rejecting", RUN, "rejected", "guardrail_intervened"),
        ("strict", [{"role": "user", "content": 5}], "bad_input", "guardrail_intervened"),
    ],
)
def test_what_is_not_repaired_is_recorded_as_what_it_is(
    operated: Operated, group: str, messages: list[dict[str, Any]], outcome: str, status: str
) -> None:
    """Observed requests have gone on; rejected ones and bad input count as blocked."""
    known = len(operated.collector.spans("guardrail"))
    ask(operated, "chat", group, messages)
    ((span, _),) = entries(operated, known, 1)
    assert span["guardrail_status"] == status
    assert operated.count("role_guard_requests_total", group=group, outcome=outcome) == 1


def test_a_clean_request_is_only_counted(operated: Operated) -> None:
    """Nothing is recorded of a request that needs nothing."""
    before = operated.count("role_guard_requests_total", group="strict", outcome="untouched")
    response = ask(operated, "chat", "strict", RUN[:3])
    assert APPLIED not in response.headers
    assert "x-role-guard" not in response.headers
    after = operated.count("role_guard_requests_total", group="strict", outcome="untouched")
    assert after == before + 1


@on_all_endpoints
@pytest.mark.parametrize("key", ["sk-opted-out", "sk-team-without"])
def test_a_key_and_a_team_can_opt_out(operated: Operated, endpoint: str, key: str) -> None:
    """Where the metadata of the key or the team opts out, the backend gets what the client sent."""
    before = operated.count("role_guard_requests_total", group="strict", outcome="skipped")
    response = ask(operated, endpoint, "strict", RUN, key=key)
    assert response.status_code == 400
    assert "x-role-guard" not in response.headers
    after = operated.count("role_guard_requests_total", group="strict", outcome="skipped")
    assert after == before + 1


@on_all_endpoints
def test_a_request_can_ask_for_a_guardrail_that_is_off(operated: Operated, endpoint: str) -> None:
    """An entry that is not on by default is on for a request that names it."""
    response = ask(operated, endpoint, "strict", RUN, key="sk-opted-out", guardrails=["on-demand"])
    assert answered(response), response.text
    assert response.headers["x-role-guard"] == "merged=1"
    assert response.headers[APPLIED] == "on-demand"


@on_all_endpoints
def test_a_client_cannot_opt_out(operated: Operated, endpoint: str) -> None:
    """What a client writes into its request is no admin's metadata."""
    claims = {
        "opted_out_global_guardrails": ["role-guard"],
        "disable_global_guardrails": True,
        "user_api_key_metadata": {"disable_global_guardrails": True},
    }
    response = ask(operated, endpoint, "strict", RUN, metadata=claims)
    assert answered(response), response.text
    assert response.headers["x-role-guard"] == "merged=1"


def test_no_label_is_a_clients(operated: Operated) -> None:
    """A made-up model, role, metadata and guardrail name leave no trace in a label."""
    metadata = {"model_group": MARK, "deployment_model_name": MARK}
    for group in (f"hosted_vllm/{MARK}", "strict"):
        for messages in (RUN, [{"role": MARK, "content": "hi"}], [{"role": "user", "content": 5}]):
            for endpoint in ENDPOINTS:
                ask(operated, endpoint, group, messages, metadata=metadata, guardrails=[MARK])
    assert operated.count("role_guard_requests_total", group="hosted_vllm/*") > 0
    assert MARK not in operated.metrics()


def test_no_text_key_or_password_is_shown(operated: Operated) -> None:
    """Neither a client's text nor a credential is in a metric, a header or a guardrail's span."""
    marked = [*RUN, {"role": "user", "content": TEXT}]
    known = len(operated.collector.spans("guardrail"))
    for group in ("strict", "taught", "observed", "rejecting", "secretive"):
        response = ask(operated, "chat", group, marked)
        shown = {name: value for name, value in response.headers.items() if "guard" in name}
        assert TEXT not in str(shown)
        assert PASSWORD not in str(shown)
    spans = str(entries(operated, known, 5))
    metrics = operated.metrics()
    assert 'group="secretive"' in metrics
    for secret in (TEXT, PASSWORD, "sk-plain"):
        assert secret not in spans
        assert secret not in metrics
    log = (operated.folder / "proxy.log").read_text()
    own = [line for line in log.splitlines() if "litellm_role_guard" in line]
    assert own
    assert TEXT not in str(own)
    assert PASSWORD not in str(own)
