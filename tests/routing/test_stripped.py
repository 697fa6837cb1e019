"""What is not read, or not for long, does not tell where a conversation goes."""

from __future__ import annotations

from typing import Any

import pytest

from litellm_role_guard.routing.affinity import PrefixAffinity
from litellm_role_guard.routing.prefix import prefix_key
from testing.routed import LONG, deployment

CLAUDE = {"type": "text", "text": "You are a coding agent."}
USER = {"role": "user", "content": LONG}


def billing(value: str) -> dict[str, Any]:
    """Give Claude Code's line as a part of its own."""
    return {"type": "text", "text": f"x-anthropic-billing-header: cc_version=2; cch={value};"}


def system(*parts: Any) -> dict[str, Any]:
    """Give a system message of parts."""
    return {"role": "system", "content": list(parts)}


@pytest.mark.parametrize(
    "leading",
    [
        system(billing("a"), CLAUDE),
        system(billing("b"), CLAUDE),
        system({**CLAUDE, "cache_control": {"type": "ephemeral"}}),
        {"role": "system", "content": f"{billing('c')['text']}\n{CLAUDE['text']}"},
    ],
)
def test_the_billing_line_is_no_part_of_the_key(leading: dict[str, Any]) -> None:
    """It is new with each request, and vLLM strips it."""
    assert prefix_key([leading, USER]) == prefix_key([system(CLAUDE), USER])


def test_a_message_of_the_line_alone_is_none() -> None:
    """Nothing of it is read."""
    assert prefix_key([system(billing("a")), USER]) == prefix_key([USER])


def test_a_user_may_quote_the_line() -> None:
    """The server strips it from system text only, so that these are two conversations."""
    quoted = [{"role": "user", "content": billing(at)["text"] + LONG} for at in "ab"]
    assert prefix_key(quoted[:1]) != prefix_key(quoted[1:])


@pytest.mark.parametrize("kind", ["thinking", "redacted_thinking"])
def test_thoughts_are_no_part_of_the_key(kind: str) -> None:
    """Clients send them with the turn that is under way, and not later on."""
    thought = {"type": kind, "thinking": "hm", "signature": "x", "data": "y"}
    said = [{"type": "text", "text": "hi"}]
    opening = {"role": "user", "content": "hello"}
    keys = [
        prefix_key([opening, {"role": "assistant", "content": content}, USER])
        for content in (said, [thought, *said])
    ]
    assert keys[0] == keys[1]


def test_marks_for_a_cache_are_no_part_of_the_key_wherever_they_stand() -> None:
    """A client moves them on with each turn."""
    texts: list[Any] = [
        [{"type": "text", "text": "42", **mark}] for mark in ({}, {"cache_control": {"ttl": "5m"}})
    ]
    keys = [
        prefix_key([{"role": "user", "content": [{"type": "tool_result", "content": text}]}, USER])
        for text in texts
    ]
    assert keys[0] == keys[1]


def test_an_error_that_a_repair_drops_is_no_part_of_the_key() -> None:
    """With `error_turns: drop` the model reads neither, and both go to one backend."""
    error = {"role": "assistant", "content": "Error fetching response:TypeError"}
    opening = {"role": "user", "content": "hello"}
    deployments = [deployment(at) for at in range(40)]
    orders = []
    for messages in ([opening, error, USER], [opening, USER]):
        ranked = PrefixAffinity().ranked(deployments, messages, {}, [])
        assert ranked is not None
        orders.append([each["litellm_params"]["weight"] for each in ranked])
    assert orders[0] == orders[1]
