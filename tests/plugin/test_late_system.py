"""System messages after the first turn: where the operator wants them, and LiteLLM's own note."""

from __future__ import annotations

from typing import Any

import litellm
import pytest

from litellm_role_guard import RoleGuard
from litellm_role_guard.endpoints.chat import ChatConversation
from litellm_role_guard.plugin.litellm_internals import SYSTEM_NOTE
from litellm_role_guard.repair.chain import repair
from litellm_role_guard.repair.late_system import with_system_in_front
from testing.conversations import assistant, system, user
from testing.learnt import learnt
from testing.litellm_release import anthropic_adapter
from testing.templates import TEMPLATES

STRICT = TEMPLATES / "alternating.jinja"
LATE = [system("be kind"), user("hello"), assistant("hi"), system("be brief"), user("what now?")]


async def sent(messages: list[Any], **settings: Any) -> list[Any]:
    """Give the messages that a guard sends to a backend that it does not know."""
    guard = RoleGuard(learn=False, **settings)
    kwargs = {"model": "hosted_vllm/m", "api_base": "http://127.0.0.1:9/v1", "messages": messages}
    changed = await guard.async_pre_call_deployment_hook(kwargs, "acompletion")
    made: list[Any] = list((changed or kwargs)["messages"])
    return made


async def test_by_default_it_is_said_where_it_stands() -> None:
    """In the user's turn, with a label for each voice."""
    *_, last = await sent(LATE)
    assert last["content"] == "[System message]\nbe brief\n\n[User message]\nwhat now?"


async def test_in_place_an_unknown_backend_is_trusted_with_it() -> None:
    """Nothing is changed."""
    assert await sent(LATE, late_system="in_place") == LATE


async def test_in_front_it_joins_the_leading_system_text() -> None:
    """All turns stay as they are, behind it."""
    made = await sent(LATE, late_system="front")
    assert made == [system("be kind\n\nbe brief"), LATE[1], LATE[2], LATE[4]]


def test_moving_keeps_the_order_and_tells_where_each_came_from() -> None:
    """What stands in front already is the very list that was given."""
    moved = with_system_in_front(LATE)
    assert [LATE[at] for at in moved.origins] == moved.messages
    assert [change.messages for change in moved.changes] == [(3,)]
    leading = LATE[:3]
    assert with_system_in_front(leading).messages is leading


@pytest.mark.skipif(SYSTEM_NOTE is None, reason="this LiteLLM writes no note")
def test_litellms_note_ends_before_the_users_words() -> None:
    """Joined with them, it would else pass for all of the turn."""
    parts = [{"type": "text", "text": text} for text in (SYSTEM_NOTE, "be brief")]
    given = ChatConversation(
        [{"role": "user", "content": parts}, user("what now?")],
        prefill=False,
        is_vllm=True,
        to_vllm_messages=lambda messages: messages,
        note=SYSTEM_NOTE,
    )
    _, profile = learnt(STRICT)
    (turn,) = repair(given.messages, profile, labelled=given.labelled).messages
    assert str(turn["content"]).index("be brief") < str(turn["content"]).index("[User message]")


async def test_litellm_is_told_to_keep_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its public registry, and only where such a message comes."""
    monkeypatch.setattr(litellm, "model_cost", dict(litellm.model_cost))
    model = "hosted_vllm/keeps-late-system"
    guard = RoleGuard(learn=False)
    kwargs = {"model": model, "api_base": "http://127.0.0.1:9/v1", "messages": LATE[:3]}
    await guard.async_pre_call_deployment_hook(kwargs, "anthropic_messages")
    assert model not in litellm.model_cost
    await guard.async_pre_call_deployment_hook({**kwargs, "messages": LATE}, "anthropic_messages")
    assert litellm.model_cost[model]["supports_mid_conversation_system"]
    body: Any = {"model": model, "max_tokens": 1, "messages": LATE}
    request, _ = anthropic_adapter().translate_anthropic_to_openai(
        body, custom_llm_provider="hosted_vllm"
    )
    assert [message["role"] for message in request["messages"]] == [each["role"] for each in LATE]
    off = RoleGuard(mode="off")
    other = {**kwargs, "model": f"{model}-not", "messages": LATE}
    await off.async_pre_call_deployment_hook(other, "anthropic_messages")
    assert f"{model}-not" not in litellm.model_cost
