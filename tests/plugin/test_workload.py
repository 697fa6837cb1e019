"""What is too large goes on as it came; what is large is repaired beside the event loop."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import litellm
import pytest

from litellm_role_guard import RoleGuard
from litellm_role_guard.config.settings import DeploymentSettings
from litellm_role_guard.plugin.workload import MAX_INLINE_ENTRIES, Workload
from testing.conversations import Message, user
from testing.litellm_calls import Backend

RUN = [user("hello"), user("are you there?"), user("hello again")]


@pytest.mark.parametrize(
    ("settings", "messages", "reason"),
    [
        ({"max_messages": 2}, RUN, "more than 2 messages, parts and calls (max_messages)"),
        ({"max_characters": 9}, RUN, "more than 9 characters (max_characters)"),
        ({"max_messages": 3, "max_characters": 30}, RUN, None),
    ],
)
def test_what_is_over_a_limit_is_named(
    settings: dict[str, int], messages: list[Message], reason: str | None
) -> None:
    """The reason names the limit and its setting, and nothing of the conversation."""
    assert Workload(messages).excess(DeploymentSettings.model_validate(settings)) == reason


def test_what_is_nested_too_deep_is_named() -> None:
    """Depth is a limit that no setting moves: nothing could read such a message."""
    content: Any = "x"
    for _ in range(10_000):
        content = {"a": content}
    excess = Workload([{"role": "user", "content": content}]).excess(DeploymentSettings())
    assert excess == "nested deeper than 64 levels"


async def test_a_conversation_over_the_limit_goes_on_as_it_came(backend: Backend) -> None:
    """It is neither repaired nor refused, and it is counted."""
    guard = RoleGuard(learn=False, max_messages=2)
    before, litellm.callbacks = litellm.callbacks, [guard]
    try:
        plan = await guard.async_pre_call_deployment_hook(
            {"model": "hosted_vllm/m", "api_base": "http://x", "messages": RUN}, "acompletion"
        )
    finally:
        litellm.callbacks = before
    assert plan is None
    assert guard.counts["too_large"] == 1


@pytest.mark.parametrize("count", [1, MAX_INLINE_ENTRIES + 1])
async def test_much_work_is_done_beside_the_event_loop(count: int) -> None:
    """A short conversation's work is done at once, a long one's in another thread."""
    thread = await Workload([user("x")] * count).do(threading.get_ident)
    assert (thread == threading.get_ident()) is (count == 1)


async def test_the_loop_goes_on_meanwhile() -> None:
    """While a large request is worked on, the event loop serves others."""
    done = threading.Event()
    work = asyncio.ensure_future(Workload([user("x")] * 1000).do(done.wait, 10))
    await asyncio.sleep(0)
    done.set()  # which only a loop that goes on can do
    assert await work is True


async def test_a_long_conversation_is_repaired_as_a_short_one_is(
    guard: RoleGuard, backend: Backend
) -> None:
    """In a thread, too, a thousand messages in a row become one turn."""
    messages = [user(f"text {at}") for at in range(1000)]
    changed = await guard.async_pre_call_deployment_hook(
        {"model": "hosted_vllm/m", "api_base": "http://x", "messages": messages}, "acompletion"
    )
    assert changed is not None
    (message,) = changed["messages"]
    assert message["content"] == "\n\n".join(each["content"] for each in messages)
