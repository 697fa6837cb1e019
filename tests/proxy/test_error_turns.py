"""Errors that clients keep as the assistant's words, on all three endpoints, streamed and not."""

from __future__ import annotations

from pathlib import Path

import pytest

from testing.proxied import ENDPOINTS, Backend, Proxy, answered

SECRET = "litellm.APIConnectionError: Hosted_vllmException"
ERROR = f"Error fetching response:Error: 500 {SECRET}"
CHAT = [
    {"role": "user", "content": "hello"},
    {"role": "assistant", "content": "hi"},
    {"role": "user", "content": "are you there?"},
    {"role": "assistant", "content": ERROR},
    {"role": "user", "content": "and now?"},
    {"role": "assistant", "content": f"Half an ans{ERROR}"},
    {"role": "user", "content": "go on"},
    {"role": "assistant", "content": "Oops, that went wrong"},
    {"role": "user", "content": "please"},
]

on_all_endpoints = pytest.mark.parametrize("endpoint", ENDPOINTS)
plain_and_stream = pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])


@on_all_endpoints
@plain_and_stream
def test_the_model_reads_no_error(
    proxy: Proxy, backends: dict[str, Backend], folder: Path, endpoint: str, stream: bool
) -> None:
    """What users said is joined where an error stood between; header and log tell what was done."""
    log = folder / "proxy.log"
    before = len(log.read_text())
    response = proxy.ask(endpoint, "dropping", CHAT, stream=stream)
    assert answered(response), response.text
    assert response.headers["x-role-guard"] == "error=3; merged=2"
    (call,) = backends["a"].calls()
    assert "are you there?\n\nand now?" in call["prompt"]
    assert "Half an ans" in call["prompt"]
    assert "go on\n\nplease" in call["prompt"]
    assert "Error" not in call["prompt"]
    assert "Oops" not in call["prompt"]
    written = log.read_text()[before:]
    assert "error=3; merged=2 group=dropping" in written
    assert SECRET not in written


@on_all_endpoints
def test_the_model_reads_the_error_where_it_is_to_be_kept(
    proxy: Proxy, backends: dict[str, Backend], endpoint: str
) -> None:
    """Without the setting the client's words are the model's to read."""
    response = proxy.ask(endpoint, "cautious", CHAT)
    assert answered(response), response.text
    assert "x-role-guard" not in response.headers
    (call,) = backends["a"].calls()
    assert ERROR in call["prompt"]
