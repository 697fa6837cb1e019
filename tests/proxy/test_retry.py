"""A refusal is answered by one repaired call to the same deployment, without any back-off."""

from __future__ import annotations

from itertools import pairwise

import pytest

from testing.proxied import ENDPOINTS, RUN, WRONG_PROFILES, Backend, Proxy, answered


@pytest.mark.parametrize("group", WRONG_PROFILES)
def test_a_wrong_profile_costs_one_call_once(
    proxy: Proxy, backends: dict[str, Backend], group: str
) -> None:
    """One more call to the deployment that refused, at once; each is taught once about a chat."""
    _, size, endpoint, form = group.split("-")
    deployments = {"one": 1, "two": 2}[size]
    stream = form == "stream"
    calls, taught = 0, 0
    for _ in range(8):
        for backend in backends.values():
            backend.forget()
        response = proxy.ask(endpoint, group, RUN, stream=stream)
        assert answered(response), response.text
        statuses = {
            name: [call["status"] for call in backend.calls()] for name, backend in backends.items()
        }
        (of_this_request,) = filter(None, statuses.values())  # all of its calls to one backend
        calls += len(of_this_request)
        if of_this_request == [400, 200]:
            taught += 1
            # LiteLLM's own retry is what sleeps; it says here how often it tried.
            assert response.headers.get("x-litellm-attempted-retries", "0") == "0"
            assert response.headers["x-role-guard"] == "merged=1; retried=1"
        else:
            assert of_this_request == [200]
            assert response.headers["x-role-guard"] == "merged=1"
    assert 1 <= taught <= deployments
    assert calls == 8 + taught


def test_a_lesson_of_one_endpoint_holds_on_all(proxy: Proxy, backends: dict[str, Backend]) -> None:
    """A chat and a deployment are the same ones on every endpoint, and are taught once."""
    for endpoint in ENDPOINTS:
        assert answered(proxy.ask(endpoint, "taught", RUN))
    assert [call["status"] for call in backends["a"].calls()] == [400, 200, 200, 200]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_two_conversations_teach_a_deployment(
    proxy: Proxy, backends: dict[str, Backend], endpoint: str
) -> None:
    """What each of them has proven, on whatever endpoint, holds for all others."""
    for text in ("one", "two", "three"):
        messages = [{"role": "user", "content": text}, *RUN[1:]]
        assert answered(proxy.ask(endpoint, f"proven-{endpoint}", messages))
    assert [call["status"] for call in backends["a"].calls()] == [400, 200, 400, 200, 200]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_too_many_tokens_are_refused_after_one_call(
    proxy: Proxy, backends: dict[str, Backend], endpoint: str, stream: bool
) -> None:
    """A 400 that is about something else reaches the client after exactly one call."""
    limit = "max_output_tokens" if endpoint == "responses" else "max_tokens"
    fields = {limit: 10_000_000}
    response = proxy.ask(endpoint, "strict", RUN[:3], stream=stream, **fields)
    assert response.status_code == 400
    assert len(backends["a"].calls()) == 1


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_a_backend_that_refuses_everything_has_the_last_word(
    proxy: Proxy, backends: dict[str, Backend], endpoint: str, stream: bool
) -> None:
    """After at most three more calls, each different, the client gets the backend's own 400."""
    response = proxy.ask(endpoint, "never", RUN, stream=stream)
    assert response.status_code == 400
    assert "whatever you do" in response.text
    sent = [call["body"] for call in backends["never"].calls()]
    assert 1 <= len(sent) <= 4
    assert all(one != other for one, other in pairwise(sent))
