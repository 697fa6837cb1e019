"""A chat in Open WebUI's own page after a turn that failed: the server leaves its answer out."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from testing.agents.judged import judge
from testing.agents.meaning import meant, roles
from testing.agents.trap import Trap
from testing.agents.world import ScriptedBackend, World
from testing.open_webui import Chat, NewChat

FIRST, LOST, NEXT = "hello", "are you there?", "hello again"
REFUSAL = "Conversation roles must alternate"


def stop(chat: Chat, backend: ScriptedBackend) -> None:
    """Press Stop while the answer is waited for."""
    backend.fail("hang")
    chat.send(LOST)
    backend.wait_for("hang")
    chat.stop()


def drop(chat: Chat, backend: ScriptedBackend) -> None:
    """Lose the connection to the model before it says anything."""
    backend.fail("refuse")
    chat.ask(LOST)


def cut(chat: Chat, backend: ScriptedBackend) -> None:
    """Lose it half-way through the answer."""
    backend.fail("cut")
    chat.ask(LOST)


Mishap = Callable[[Chat, ScriptedBackend], None]


@pytest.mark.parametrize("mishap", [stop, drop])
def test_without_the_guard_the_chat_is_dead(
    new_chat: NewChat, backend: ScriptedBackend, mishap: Mishap
) -> None:
    """Every further message is refused, and so is another try at it."""
    chat = _begin(new_chat(guarded=False), backend, mishap)
    for text in (NEXT, "please?"):
        chat.ask(text)
        expect(chat.last).to_contain_text(REFUSAL)
    chat.regenerate()
    expect(chat.last).to_contain_text(REFUSAL)
    assert [call["status"] for call in backend.calls()] == [400, 400, 400]


def test_half_an_answer_ends_the_chat_where_the_page_leaves_it_out(
    new_chat: NewChat, backend: ScriptedBackend, the_world: World
) -> None:
    """Without the guard it goes on only where some words of the answer came, which are kept."""
    chat = _begin(new_chat(guarded=False), backend, cut)
    chat.ask(NEXT)
    sends = roles(meant(the_world.bare.take()[-1]))
    print("after half an answer:", sends)
    assert sends in ("U A U U", "U A U A U")
    expect(chat.last).to_contain_text("I read 5 turns" if sends == "U A U A U" else REFUSAL)


@pytest.mark.parametrize("mishap", [stop, drop, cut])
def test_with_the_guard_the_chat_goes_on(
    new_chat: NewChat, backend: ScriptedBackend, the_world: World, mishap: Mishap
) -> None:
    """Next message, another answer, an edit: each is answered, and each text is read right."""
    chat = _begin(new_chat(guarded=True), backend, mishap)
    chat.ask(NEXT)
    chat.regenerate()
    chat.edit(NEXT, "hello once more")
    chat.ask("good")
    expect(chat.last).to_contain_text('the last said: "good"')
    calls = backend.calls()
    assert [call["status"] for call in calls] == [200] * 4
    assert all(LOST in call["prompt"] for call in calls)
    assert calls[0]["prompt"] == calls[1]["prompt"]
    _all_is_read_right(the_world, backend)


def test_nothing_leaves_the_machine(the_trap: Trap, server: str) -> None:
    """Open WebUI's own settings are enough to keep it from asking anything of other machines."""
    assert the_trap.take() == []


def _begin(chat: Chat, backend: ScriptedBackend, mishap: Mishap) -> Chat:
    """Have a first turn answered, and a second one go wrong."""
    chat.ask(FIRST)
    expect(chat.last).to_contain_text(f'I read 1 turn; the last said: "{FIRST}"')
    mishap(chat, backend)
    backend.fail(None)
    backend.forget()
    return chat


def _all_is_read_right(the_world: World, backend: ScriptedBackend) -> None:
    """Check each request of the chat, sent again, with the guard; sound ones go on as they came."""
    for exchange in the_world.guarded.take():
        guarded, bare = (
            judge(proxy.target, backend, backend.template, exchange)
            for proxy in (the_world.guarded, the_world.bare)
        )
        sends = roles(meant(exchange))
        assert (guarded.outcome, guarded.why) == ("fine", ""), sends
        if bare.outcome == "fine":
            assert (guarded.sent, guarded.changes) == (bare.sent, None), sends
