"""Errors that a client keeps as the assistant's words are taken out, and nothing else is."""

from __future__ import annotations

import copy
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litellm_role_guard import RoleGuard
from litellm_role_guard.config.settings import SettingsError
from litellm_role_guard.messages.message import texts
from litellm_role_guard.repair import error_turns
from litellm_role_guard.repair.error_turns import SEARCHED_CHARS, without_errors
from testing.cases import CASES
from testing.conversations import assistant, parts, user
from testing.further_cases import FURTHER
from testing.litellm_calls import LoggingObject

REFUSED = (
    "Error fetching response:Error: 500 litellm.InternalServerError: InternalServerError: "
    "Hosted_vllmException - Connection error.. Received Model Group=gemma3"
)
CUT = "IError fetching response:Error: litellm.APIConnectionError: peer closed connection"
OF_MESSAGES = 'Error fetching response:Error: 500 {"type":"error","error":{"type":"api_error"}}'
PLAYGROUND_OLD = "Error fetching model response"
OPEN_WEBUI = "Uh-oh! There was an issue connecting to gemma3.\n500: Internal Error"
KNOWN = [
    REFUSED,
    OF_MESSAGES,
    "Error fetching response:TypeError: Failed to fetch",
    PLAYGROUND_OLD,
    OPEN_WEBUI,
    "Uh-oh! There was an issue connecting to Ollama.",
    "Uh-oh! There was an issue with the response.\nTimeout",
]
TALK = [user("hello"), assistant("hi"), user("are you there?")]
NEXT = user("hello again")


@pytest.mark.parametrize("error", KNOWN)
def test_an_error_of_a_known_client_is_no_message(error: str) -> None:
    """The message goes, the others stay the same objects, and the change names its place."""
    messages = [*TALK, assistant(error), NEXT]
    left = without_errors(messages)
    assert [id(message) for message in left.messages] == [id(m) for m in (*TALK, NEXT)]
    assert list(left.origins) == [0, 1, 2, 4]
    assert [(change.what, change.messages) for change in left.changes] == [("error", (3,))]
    assert error not in left.changes[0].why


@pytest.mark.parametrize("error", [REFUSED, OF_MESSAGES, PLAYGROUND_OLD])
def test_half_an_answer_is_kept(error: str) -> None:
    """What came of an answer that was cut stands before the error, and stays."""
    left = without_errors([*TALK, assistant(f"I am h{error}"), NEXT])
    assert left.messages[3] == assistant("I am h")
    assert list(left.origins) == [0, 1, 2, 3, 4]
    assert [change.messages for change in left.changes] == [(3,)]


def test_an_error_among_parts_ends_them() -> None:
    """Parts before it stay, the part that it is in is cut, and what comes after is gone."""
    (message,) = without_errors([parts("assistant", "one", f"two{REFUSED}", "more of it")]).messages
    assert message == parts("assistant", "one", "two")


def test_tool_calls_beside_an_error_stay() -> None:
    """A message that calls a tool is never dropped."""
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {**assistant(REFUSED), "tool_calls": [call]}
    (left,) = without_errors([message]).messages
    assert left == {"role": "assistant", "content": None, "tool_calls": [call]}


@pytest.mark.parametrize(
    "text",
    [
        "Error fetching response: that is what it says",
        "The line `Error fetching model response` means that nothing came.",
        'They see "Uh-oh! There was an issue connecting to Ollama." and wonder.',
        "I got an Error: 500",
    ],
)
def test_an_answer_about_errors_is_none(text: str) -> None:
    """What only speaks of an error is left alone."""
    messages = [*TALK, assistant(text), NEXT]
    assert without_errors(messages).messages is messages


@pytest.mark.parametrize("role", ["user", "system", "developer", "tool", "function"])
def test_only_the_assistants_words_are_looked_at(role: str) -> None:
    """A user who quotes the error is heard."""
    messages = [*TALK, {"role": role, "content": REFUSED}]
    assert without_errors(messages).messages is messages


@pytest.mark.parametrize("case", [*CASES, *FURTHER], ids=lambda case: case.name)
def test_a_conversation_without_errors_is_the_same_object(case: Any) -> None:
    """Whatever its shape."""
    left = without_errors(case.messages)
    assert left.messages is case.messages
    assert list(left.origins) == list(range(len(case.messages)))


def test_the_opening_of_a_reply_is_left_alone() -> None:
    """A prefill is the client's own choice of words."""
    messages = [*TALK, assistant(REFUSED)]
    assert without_errors(messages, prefill=True).messages is messages
    assert without_errors(messages).messages == TALK


def test_a_conversation_of_nothing_else_stays() -> None:
    """There has to be something left to answer."""
    messages = [assistant(REFUSED)]
    assert without_errors(messages).messages is messages


def test_own_patterns_match_where_an_error_begins() -> None:
    """In the first thousand characters of a text, and beside those of known clients."""
    own = [r"(?i)^\[error\]", r"(?=Traceback \(most recent)"]
    messages = [
        assistant("[Error] out of memory"),
        assistant("so farTraceback (most recent call last): ..."),
        assistant("x" * SEARCHED_CHARS + "Traceback (most recent call last): ..."),
        assistant(REFUSED),
        NEXT,
    ]
    left = without_errors(messages, own)
    assert left.messages == [assistant("so far"), messages[2], NEXT]
    assert [change.messages for change in left.changes] == [(0,), (1,), (3,)]


SPOKEN = st.sampled_from(["", "yes", " ", "so far. ", *KNOWN, CUT, "oops", "oops oops"])
MESSAGES = st.lists(
    st.one_of(
        st.builds(lambda text: {"role": "user", "content": text or "hm"}, SPOKEN),
        st.builds(lambda text, end: assistant(text + end), SPOKEN, SPOKEN),
        st.builds(lambda some: parts("assistant", *some), st.lists(SPOKEN, max_size=3)),
    ),
    min_size=1,
    max_size=8,
)


@given(
    messages=MESSAGES, own=st.lists(st.sampled_from(["oops$", r"\byes", "(?<=far)"]), max_size=2)
)
def test_the_laws_hold(messages: list[dict[str, Any]], own: list[str]) -> None:
    """Pure, idempotent, stable as the conversation grows, and no user's text is ever touched."""
    before = copy.deepcopy(messages)
    left = without_errors(messages, own)
    assert messages == before
    assert without_errors(left.messages, own).messages is left.messages
    said = [list(texts(message)) for message in messages if message["role"] == "user"]
    assert [list(texts(m)) for m in left.messages if m["role"] == "user"] == said
    if any(message["role"] == "user" and message["content"].strip() for message in messages[:1]):
        for length in range(1, len(messages)):
            part = without_errors(messages[:length], own).messages
            assert left.messages[: len(part)] == part


def asked(*messages: Any, field: str = "messages", **settings: Any) -> dict[str, Any]:
    """Give the arguments with which LiteLLM calls the deployment hook."""
    return {
        "model": "hosted_vllm/m",
        "api_base": "http://b/v1",
        field: list(messages),
        "litellm_logging_obj": LoggingObject(),
        "model_info": {"id": "d1", "role_guard": {"learn": False, **settings}},
    }


async def test_what_joins_up_is_repaired_and_all_is_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The two questions are joined; header and log count both changes, and hold no text."""
    guard = RoleGuard(error_turns="drop")
    kwargs = asked(*TALK, assistant(REFUSED), NEXT)
    with caplog.at_level(logging.INFO):
        changed = await guard.async_pre_call_deployment_hook(kwargs, "acompletion")
        assert changed is not None
        changed["client"]._policy.finished(answered=True)
    assert changed["messages"] == [*TALK[:2], user("are you there?\n\nhello again")]
    header = await guard.async_post_call_response_headers_hook(kwargs, None, None)
    assert header == {"x-role-guard": "error=1; merged=1"}
    assert guard.counts["repaired"] == 1
    assert "error=1; merged=1" in caplog.text
    assert "litellm.InternalServerError" not in caplog.text


async def test_responses_lose_the_item_and_keep_the_others() -> None:
    """An input item of the assistant's is an error like any message; half an answer stays."""
    guard = RoleGuard(error_turns="drop")
    kwargs = asked(*TALK, assistant(REFUSED), NEXT, assistant(CUT), NEXT, field="input")
    changed = await guard.async_pre_call_deployment_hook(kwargs, "aresponses")
    assert changed is not None
    texts_sent = [item["content"] for item in changed["input"]]
    assert texts_sent == ["hello", "hi", "are you there?\n\nhello again", "I", "hello again"]
    header = await guard.async_post_call_response_headers_hook(kwargs, None, None)
    assert header == {"x-role-guard": "error=2; merged=1"}


@pytest.mark.parametrize("settings", [{}, {"error_turns": "keep"}])
async def test_errors_are_kept_unless_they_are_to_be_dropped(settings: dict[str, Any]) -> None:
    """The default leaves the client's words to the model."""
    guard = RoleGuard(**settings)
    kwargs = asked(*TALK, assistant(REFUSED), NEXT)
    changed = await guard.async_pre_call_deployment_hook(kwargs, "acompletion")
    assert changed is not None
    assert changed["messages"] is kwargs["messages"]


async def test_a_deployments_own_choice_wins() -> None:
    """One group may keep what the others drop."""
    guard = RoleGuard(error_turns="drop")
    kwargs = asked(*TALK, assistant(REFUSED), NEXT, error_turns="keep")
    changed = await guard.async_pre_call_deployment_hook(kwargs, "acompletion")
    assert changed is not None
    assert changed["messages"] is kwargs["messages"]


async def test_mode_observe_reports_and_drops_nothing() -> None:
    """The request goes on as it came."""
    guard = RoleGuard(mode="observe", error_turns="drop")
    kwargs = asked(*TALK, assistant(REFUSED), NEXT)
    assert await guard.async_pre_call_deployment_hook(kwargs, "acompletion") is None
    header = await guard.async_post_call_response_headers_hook(kwargs, None, None)
    assert header == {"x-role-guard": "observe; error=1; merged=1"}


async def test_mode_reject_takes_an_error_for_no_reason() -> None:
    """It explains what the backend would refuse, and an error is nothing of that kind."""
    guard = RoleGuard(mode="reject", error_turns="drop")
    kwargs = asked(*TALK, assistant(REFUSED), NEXT)
    assert await guard.async_pre_call_deployment_hook(kwargs, "acompletion") is None


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("*", "must be a regular expression (nothing to repeat at position 0)"),
        ("x*", "must not match an empty text"),
        (3, "must be a string"),
    ],
)
def test_a_bad_pattern_stops_the_guard(pattern: object, words: str) -> None:
    """The key is named with the pattern's place, and what is wrong with it."""
    with pytest.raises(SettingsError) as refused:
        RoleGuard(error_patterns=["fine", pattern])
    assert str(refused.value) == f"RoleGuard.error_patterns[1]: {words}, not {pattern!r}"


def test_a_text_of_nothing_but_errors_is_read_a_few_times_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever its length: a client could otherwise keep the proxy busy with it."""
    reads: list[int] = []
    beginning = error_turns._beginning

    def counted(text: str, own: Any) -> int:
        reads.append(len(text))
        at: int = beginning(text, own)
        return at

    monkeypatch.setattr(error_turns, "_beginning", counted)
    without_errors([user("hi"), assistant("Error fetching model response" * 300), user("so?")])
    assert len(reads) <= error_turns.MAX_CUTS


@pytest.mark.parametrize("pattern", [r"(a+)+b", r"(?:a|a)*b", r"(\w+\s?)+!"])
def test_a_pattern_that_backtracks_without_end_is_given_up(pattern: str) -> None:
    """An operator's pattern cannot hold a request up, whatever a client writes for it: the others
    still count, and a text that it would take forever for stays."""
    trap = {"role": "assistant", "content": "a" * 3000}
    oops = {"role": "assistant", "content": "fine. oops, an error"}
    messages = [{"role": "user", "content": "x"}, *[trap] * 200, oops]
    kept = without_errors(messages, [pattern, "oops"])
    assert kept.messages[:-1] == messages[:-1]
    assert kept.messages[-1]["content"] == "fine. "
