"""Where the system messages of a /v1/messages chat go, through a real proxy."""

from __future__ import annotations

from typing import Any

import pytest

from testing.proxied import Backend, Proxy, answered

SAID: list[dict[str, Any]] = [
    {"role": "user", "content": "hello"},
    {"role": "assistant", "content": "hi"},
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": "what now?"},
]
LABELLED = "<|user|>[System message]\nbe brief\n\n[User message]\nwhat now?<|end|>"
NATIVE = "<|assistant|>hi<|end|>\n<|system|>be brief<|end|>\n<|user|>what now?<|end|>"
IN_FRONT = "<|system|>be kind\n\nbe brief<|end|>\n<|user|>hello<|end|>"
BOTH_IN_FRONT = "<|system|>be kind<|end|>\n<|system|>be brief<|end|>\n<|user|>hello<|end|>"


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(
    ("template", "way", "read"),
    [
        ("strict", "auto", LABELLED),
        ("strict", "in_place", LABELLED),
        ("strict", "front", IN_FRONT),
        ("lenient", "auto", NATIVE),
        ("lenient", "in_place", NATIVE),
        ("lenient", "front", BOTH_IN_FRONT),
    ],
)
def test_the_operator_says_where_it_goes(
    proxy: Proxy,
    late_backends: dict[str, Backend],
    template: str,
    way: str,
    read: str,
    stream: bool,
) -> None:
    """A system turn of its own where the template reads it, the user's labelled words, or in front.

    Without LiteLLM's own note, and with the rest of the conversation as it was.
    """
    backend = late_backends[template]
    backend.forget()
    group = f"late-{template}-{way}"
    response = proxy.ask("messages", group, SAID, stream=stream, system="be kind")
    assert answered(response), response.text
    (call,) = backend.calls()
    assert read in call["prompt"]
    assert call["prompt"].count("be brief") == 1
    assert "not from the user" not in call["prompt"]
    is_as_it_was = read is NATIVE
    assert ("x-role-guard" in response.headers) is not is_as_it_was
