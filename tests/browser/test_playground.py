"""The user's story in the real Playground: the chat after a turn that failed.

What is left of such a turn is either the question alone, which a strict template refuses from then
on, or, where the Playground shows an error, the error's text as the assistant's answer.
"""

from __future__ import annotations

from itertools import product

import pytest
from playwright.sync_api import expect

from testing.failing_backend import FailingBackend
from testing.playground import (
    CAUTIOUS,
    DROPPING,
    ENDPOINTS,
    ERROR,
    GUARDED,
    INFORMED,
    LOST,
    NEXT,
    UNGUARDED,
    Mishap,
    Open,
    Playground,
    Target,
    begin,
    stop,
)

REFUSAL = "Conversation roles must alternate"


def reload(playground: Playground, backend: FailingBackend) -> None:
    """Load the page again while the answer is waited for."""
    backend.fail("hang")
    playground.send(LOST)
    backend.wait_for("hang")
    playground.reload(LOST)


def empty(playground: Playground, backend: FailingBackend) -> None:
    """Get an answer without text."""
    backend.fail("empty")
    playground.ask(LOST)


def refuse(playground: Playground, backend: FailingBackend) -> None:
    """Get no connection to the backend."""
    backend.fail("refuse")
    playground.ask(LOST)


def cut(playground: Playground, backend: FailingBackend) -> None:
    """Get half of an answer."""
    backend.fail("cut")
    playground.ask(LOST)


CHAT, MESSAGES, RESPONSES = ENDPOINTS
# What the Playground of LiteLLM 1.106 keeps of a turn; a stream of /v1/responses that breaks off
# before its text is over without an error.
LEAVES_THE_QUESTION: list[tuple[str, Mishap]] = [
    *product(ENDPOINTS, (stop, reload, empty)),
    (RESPONSES, cut),
]
LEAVES_AN_ERROR: list[tuple[str, Mishap]] = [
    *product(ENDPOINTS, (refuse,)),
    *product((CHAT, MESSAGES), (cut,)),
]


def _named(cases: list[tuple[str, Mishap]]) -> pytest.MarkDecorator:
    ids = [f"{endpoint}-{mishap.__name__}" for endpoint, mishap in cases]
    return pytest.mark.parametrize(("endpoint", "mishap"), cases, ids=ids)


after_a_lost_answer = _named(LEAVES_THE_QUESTION)
after_an_error = _named(LEAVES_AN_ERROR)


@after_a_lost_answer
def test_without_the_guard_a_lost_answer_ends_the_chat(
    open_playground: Open, backend: FailingBackend, endpoint: str, mishap: Mishap
) -> None:
    """The next message gets a 400, and so does every later one."""
    playground = open_playground(UNGUARDED, endpoint)
    begin(playground, backend, mishap)
    for text in (NEXT, "please?"):
        playground.ask(text)
        expect(playground.last).to_contain_text(f"{ERROR}Error: 400")
        expect(playground.last).to_contain_text(REFUSAL)
    assert {call["status"] for call in backend.calls()} == {400}


@after_a_lost_answer
def test_with_the_guard_the_chat_goes_on_after_a_lost_answer(
    open_playground: Open, backend: FailingBackend, endpoint: str, mishap: Mishap
) -> None:
    """The next answer is the backend's, which has read both questions, and so is the one after."""
    playground = open_playground(GUARDED, endpoint)
    begin(playground, backend, mishap)
    assert_it_goes_on(playground, backend)
    playground.ask("good")
    expect(playground.last).to_contain_text('I read 5 turns; the last said: "good"')
    assert LOST in backend.calls()[-1]["prompt"]


@pytest.mark.parametrize("target", [CAUTIOUS, INFORMED], ids=("cautious", "informed"))
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_so_it_does_wherever_the_profile_is_from(
    open_playground: Open, backend: FailingBackend, target: Target, endpoint: str
) -> None:
    """With the cautious default as with a template from a file, and not only with a learnt one."""
    playground = open_playground(target, endpoint)
    begin(playground, backend, stop)
    assert_it_goes_on(playground, backend)


def assert_it_goes_on(playground: Playground, backend: FailingBackend) -> None:
    """Check that the next answer is the backend's own, and that it has read both questions."""
    playground.ask(NEXT)
    expect(playground.last).to_contain_text(f'I read 3 turns; the last said: "{LOST} {NEXT}"')
    expect(playground.last).not_to_contain_text(ERROR)
    last = backend.calls()[-1]
    assert last["status"] == 200
    assert f"{LOST}\n\n{NEXT}" in last["prompt"]


@after_an_error
@pytest.mark.parametrize("target", [UNGUARDED, GUARDED], ids=("unguarded", "guarded"))
def test_an_error_is_kept_as_the_answer_and_the_chat_assert_it_goes_on(
    open_playground: Open, backend: FailingBackend, target: Target, endpoint: str, mishap: Mishap
) -> None:
    """The roles alternate, and the model reads the error's text as words of its own."""
    playground = open_playground(target, endpoint)
    begin(playground, backend, mishap)
    expect(playground.last).to_contain_text(ERROR)
    playground.ask(NEXT)
    expect(playground.last).to_contain_text(f'I read 5 turns; the last said: "{NEXT}"')
    assert ERROR in backend.calls()[-1]["prompt"]


@after_an_error
def test_an_error_that_is_to_be_dropped_is_not_read(
    open_playground: Open, backend: FailingBackend, endpoint: str, mishap: Mishap
) -> None:
    """The model reads what was said before and after it, and the chat goes on."""
    playground = open_playground(DROPPING, endpoint)
    begin(playground, backend, mishap)
    expect(playground.last).to_contain_text(ERROR)
    playground.ask(NEXT)
    expect(playground.last).to_contain_text("the last said:")
    expect(playground.last).not_to_contain_text(ERROR)
    prompt = backend.calls()[-1]["prompt"]
    assert "Error" not in prompt
    if mishap is cut:  # at times the browser has got the beginning of an answer, which is kept
        assert 0 <= prompt.find(LOST) < prompt.find(NEXT)
    else:
        assert f"{LOST}\n\n{NEXT}" in prompt
    playground.ask("good")
    expect(playground.last).to_contain_text('the last said: "good"')
    assert "Error" not in backend.calls()[-1]["prompt"]


def test_without_the_guard_the_default_on_responses_needs_a_backend_that_remembers(
    open_playground: Open, backend: FailingBackend
) -> None:
    """A vLLM does not know the `previous_response_id` of the second message of any chat."""
    playground = open_playground(UNGUARDED, RESPONSES, history_in_browser=False)
    playground.ask("hello")
    expect(playground.last).to_contain_text('I read 1 turn; the last said: "hello"')
    playground.ask(NEXT)
    expect(playground.last).to_contain_text(f"{ERROR}Error: 404")
    assert backend.calls()[-1]["body"]["previous_response_id"]


def test_with_the_guard_the_default_on_responses_is_a_chat(
    open_playground: Open, backend: FailingBackend
) -> None:
    """Each answer is from a model that has read all that came before."""
    playground = open_playground(GUARDED, RESPONSES, history_in_browser=False)
    for turns, text in ((1, "hello"), (3, NEXT), (5, "good")):
        playground.ask(text)
        counted = f"I read {turns} turn{'s' if turns > 1 else ''}"
        expect(playground.last).to_contain_text(f'{counted}; the last said: "{text}"')
    assert [call["status"] for call in backend.calls()] == [200, 200, 200]


@pytest.mark.parametrize("mishap", [stop, reload, empty, refuse, cut])
def test_so_it_is_after_a_mishap(
    open_playground: Open, backend: FailingBackend, mishap: Mishap
) -> None:
    """The chat goes on from the last response that came whole, and the next answer comes."""
    playground = open_playground(GUARDED, RESPONSES, history_in_browser=False)
    begin(playground, backend, mishap)
    for text in (NEXT, "good"):
        playground.ask(text)
        expect(playground.last).to_contain_text('the last said: "')
        expect(playground.last).to_contain_text(text)
        expect(playground.last).not_to_contain_text(ERROR)
    assert "hello" in backend.calls()[-1]["prompt"]
