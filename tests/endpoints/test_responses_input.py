"""A /v1/responses request as the messages that vLLM makes of it, and back."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.responses import ResponseFunctionToolCall

from litellm_role_guard.endpoints.responses import ResponsesInput
from litellm_role_guard.endpoints.responses_validation import find_input_error
from testing.response_items import as_rendered

USER = {"role": "user", "content": "hi"}
TYPED = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "yo"}]}
ANSWER = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a"}]}
CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"x": 1}'}
RESULT = {"type": "function_call_output", "call_id": "c1", "output": "42"}
THOUGHT = {"type": "reasoning", "id": "r1", "summary": [{"type": "summary_text", "text": "hm"}]}
CALL_READ = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}


@pytest.mark.parametrize(
    ("request_input", "instructions", "messages"),
    [
        ("hi", None, [USER]),
        ("hi", "be kind", [{"role": "system", "content": "be kind"}, USER]),
        ("hi", "", [USER]),
        ([USER, TYPED], None, [USER, {"role": "user", "content": TYPED["content"]}]),
        ([USER, ANSWER], None, [USER, {"role": "assistant", "content": "a"}]),
        (
            [USER, CALL, RESULT],
            None,
            [
                USER,
                {"role": "assistant", "tool_calls": [CALL_READ]},
                {"role": "tool", "content": "42", "tool_call_id": "c1"},
            ],
        ),
        (
            [THOUGHT, ANSWER, CALL, CALL, ANSWER],
            None,
            [
                {
                    "role": "assistant",
                    "reasoning": "hm",
                    "content": "a",
                    "tool_calls": [CALL_READ, CALL_READ],
                },
                {"role": "assistant", "content": "a"},
            ],
        ),
    ],
)
def test_items_become_the_messages_that_vllm_makes(
    request_input: Any, instructions: str | None, messages: list[Any]
) -> None:
    """Calls, reasoning and text of one reply become one message, as in vLLM's own code."""
    assert ResponsesInput(request_input, instructions).messages == messages


@pytest.mark.parametrize(
    ("request_input", "instructions"),
    [
        ("hi", "be kind"),
        ("hi", None),
        ([USER, THOUGHT, ANSWER, CALL, RESULT, TYPED], "be kind"),
        ([{"role": "system", "content": "s"}, USER], None),
    ],
)
def test_unchanged_messages_keep_their_very_items(
    request_input: Any, instructions: str | None
) -> None:
    """What no repair touched is sent as the objects that came."""
    conversation = ResponsesInput(request_input, instructions)
    written = conversation.arguments(conversation.messages)
    assert written == {"input": request_input, "instructions": instructions}
    if isinstance(request_input, list):
        assert all(new is old for new, old in zip(written["input"], request_input, strict=True))


def test_only_the_changed_message_is_written_anew() -> None:
    """Items around a joined message stay the same objects."""
    items = [USER, ANSWER, TYPED, TYPED]
    conversation = ResponsesInput(items, None)
    joined = {"role": "user", "content": [{"type": "text", "text": "yo"}, *TYPED["content"]]}
    written = conversation.arguments([*conversation.messages[:2], joined])["input"]
    assert written[0] is USER
    assert written[1] is ANSWER
    assert written[2] == {
        "role": "user",
        "content": [{"type": "input_text", "text": "yo"}, {"type": "input_text", "text": "yo"}],
    }


def test_system_text_that_moved_into_a_turn_leaves_the_instructions() -> None:
    """For a template without a system role nothing is left to send as instructions."""
    conversation = ResponsesInput("hi", "be kind")
    written = conversation.arguments([{"role": "user", "content": "be kind\n\nhi"}])
    assert written == {"input": "be kind\n\nhi", "instructions": None}


def test_gathered_system_text_goes_back_to_the_instructions() -> None:
    """Where there were instructions, gathered system text is sent as these."""
    conversation = ResponsesInput([{"role": "system", "content": "b"}, USER], "a")
    written = conversation.arguments([{"role": "system", "content": "a\n\nb"}, USER])
    assert written == {"input": [USER], "instructions": "a\n\nb"}


def test_a_reply_is_written_in_the_order_in_which_vllm_reads_it_back() -> None:
    """A changed reply with reasoning, text and calls reads back as the same message."""
    reply = {"role": "assistant", "reasoning": "hm", "content": "a", "tool_calls": [CALL_READ]}
    result = {"role": "tool", "content": "43", "tool_call_id": "c1"}
    conversation = ResponsesInput([USER], None)
    written = conversation.arguments([*conversation.messages, reply, result])
    assert ResponsesInput(written["input"], None).messages == [USER, reply, result]


def test_reply_text_that_vllm_would_not_read_is_written_as_one_string() -> None:
    """vLLM reads the first part of a reply only; two parts are sent as one text, and reported."""
    parts = [{"type": "output_text", "text": "one"}, {"type": "output_text", "text": "two"}]
    conversation = ResponsesInput([USER, {**ANSWER, "content": parts}, USER], None)
    assert [change.what for change in conversation.changes] == ["content"]
    assert conversation.changes[0].messages == (1,)
    written = conversation.arguments(conversation.messages)["input"]
    assert written == [USER, {"role": "assistant", "content": "one\ntwo"}, USER]


def test_a_call_beside_a_rewritten_text_keeps_its_item() -> None:
    """What an item has beside the call itself (a namespace) stays, in the item as it came."""
    parts = [{"type": "output_text", "text": "one"}, {"type": "output_text", "text": "two"}]
    call = {**CALL, "namespace": "ns", "status": "completed"}
    other = {**CALL, "call_id": "c2", "name": "g"}
    conversation = ResponsesInput([USER, {**ANSWER, "content": parts}, call, other], None)
    written = conversation.arguments(conversation.messages)["input"]
    assert written[2] is call
    assert written[3] is other
    assert conversation.messages[1]["tool_calls"][0]["function"]["name"] == "ns__f"


def test_a_call_with_a_new_id_keeps_the_rest_of_its_item() -> None:
    """A call's id that a repair has changed is all that changes in its item."""
    call = {**CALL, "namespace": "ns"}
    conversation = ResponsesInput([USER, call], None)
    reply = conversation.messages[1]
    changed = {**reply, "tool_calls": [{**reply["tool_calls"][0], "id": "new"}]}
    written = conversation.arguments([conversation.messages[0], changed])["input"]
    assert written == [USER, {**call, "call_id": "new"}]


@pytest.mark.parametrize(
    "thought",
    [
        {"summary": "hm"},
        {"content": "hm"},
        {"summary": [{"text": "hm"}]},
        {"content": [{"type": "reasoning_text", "text": "hm"}]},
        {"summary": [], "content": [{"type": "text", "text": "hm"}]},
    ],
)
def test_reasoning_of_another_form_is_brought_into_vllms(thought: dict[str, Any]) -> None:
    """Seen with vLLM 0.32.0: each of these is refused."""
    conversation = ResponsesInput([USER, {"type": "reasoning", "id": "r1", **thought}], None)
    assert [change.what for change in conversation.changes] == ["items"]
    assert conversation.arguments(conversation.messages)["input"][1] == {
        "type": "reasoning",
        "summary": [],
        "content": [{"type": "reasoning_text", "text": "hm"}],
    }


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ([{**RESULT, "output": ""}], None),
        ([], None),
        ("", None),
        ([{"role": "user", "content": ""}], None),
        ([{"role": "user", "content": 3}], "input[0]: content must be"),
        ([{**RESULT, "output": 3}], "input[0]: content must be"),
        ([{"content": "x"}], "input[0]: has no role"),
    ],
)
def test_a_continued_response_may_say_nothing_itself(items: Any, words: str | None) -> None:
    """With earlier messages on the backend only the form of the new ones is judged."""
    fault = find_input_error(items, None, continued=True)
    assert (fault is None) if words is None else str(fault).startswith(words)


def test_any_sequence_of_items_is_an_input() -> None:
    """In Python a tuple is as good as a list, for the items and for their parts."""
    parts = ({"type": "output_text", "text": "one"}, {"type": "output_text", "text": "two"})
    items = (USER, {**ANSWER, "content": parts})
    assert find_input_error(items, None) is None
    written = ResponsesInput(items, None)
    assert written.arguments(written.messages)["input"] == [
        USER,
        {"role": "assistant", "content": "one\ntwo"},
    ]
    assert find_input_error(b"hi", None) is not None


@pytest.mark.parametrize(
    ("last", "prefill"),
    [
        ({"role": "assistant", "content": "I", "status": "in_progress"}, True),
        ({**ANSWER, "status": "incomplete"}, True),
        ({**ANSWER, "status": "completed"}, False),
        ({**CALL, "status": "in_progress"}, False),
        (ANSWER, False),
    ],
)
def test_an_unfinished_last_message_is_a_prefill(last: Any, prefill: bool) -> None:
    """vLLM continues a last message that is marked as unfinished."""
    assert ResponsesInput([USER, last], None).prefill is prefill


def test_a_prefill_keeps_its_item() -> None:
    """A prefill that vLLM reads whole is sent as it came."""
    prefill = {**ANSWER, "status": "in_progress"}
    conversation = ResponsesInput([USER, prefill], None)
    assert conversation.changes == ()
    assert conversation.arguments(conversation.messages)["input"][1] is prefill


def test_a_prefill_of_which_vllm_would_read_a_part_is_one_string_and_still_a_prefill() -> None:
    """The reply goes on behind all of its text."""
    parts = [{"type": "output_text", "text": "one"}, {"type": "output_text", "text": "two"}]
    prefill = {**ANSWER, "content": parts, "status": "in_progress"}
    conversation = ResponsesInput([USER, prefill], None)
    written = conversation.arguments(conversation.messages)["input"][1]
    assert written == {"role": "assistant", "content": "one\ntwo", "status": "in_progress"}
    assert ResponsesInput([USER, written], None).prefill


SAID = {"role": "assistant", "content": "I will look."}
CALLED = {"role": "assistant", "content": None, "tool_calls": [CALL_READ]}
THOUGHT_OF = {"role": "assistant", "content": "a", "reasoning": "hm"}
TOOL = {"role": "tool", "content": "42", "tool_call_id": "c1"}


@pytest.mark.parametrize(
    "replies",
    [
        [SAID, CALLED, TOOL],
        [CALLED, SAID],
        [CALLED, CALLED, TOOL],
        [SAID, THOUGHT_OF, {**CALLED, "reasoning": "hm"}, TOOL],
        [{**CALLED, "content": []}, THOUGHT_OF],
        [{"role": "assistant", "content": None, "reasoning": "hm"}, SAID],
    ],
)
def test_replies_in_a_row_are_not_glued_together(replies: list[Any]) -> None:
    """vLLM glues a call to the reply before it; what is written keeps them two messages."""
    conversation = ResponsesInput([USER, SAID, CALL, RESULT], None)
    messages = [conversation.messages[0], *replies]
    assert as_rendered(conversation.read_back(messages)) == as_rendered(messages)


def test_replies_that_came_apart_stay_apart() -> None:
    """An item of an empty list is a message of its own, and the call behind it stands in it."""
    items = [USER, SAID, {"role": "assistant", "content": []}, CALL, RESULT]
    conversation = ResponsesInput(items, None)
    said, called = conversation.messages[1:3]
    assert said == SAID
    assert called == {"role": "assistant", "content": [], "tool_calls": [CALL_READ]}
    assert conversation.arguments(conversation.messages)["input"] == items


def test_unchanged_replies_that_have_come_together_are_kept_apart() -> None:
    """What stood between them is gone; their items are the same objects, none glued to another."""
    items = [USER, CALL, {"role": "user", "content": ""}, CALL, RESULT]
    conversation = ResponsesInput(items, None)
    messages = [message for message in conversation.messages if message.get("content") != ""]
    written = conversation.arguments(messages)["input"]
    assert [item for item in written if item in items] == [USER, CALL, CALL, RESULT]
    assert as_rendered(conversation.read_back(messages)) == as_rendered(messages)


@pytest.mark.parametrize(
    ("item", "sent"),
    [
        (
            {"role": "user", "content": [{"type": "text", "text": "yo"}]},
            {"role": "user", "content": [{"type": "input_text", "text": "yo"}]},
        ),
        ({"role": "user", "content": None}, {"role": "user", "content": []}),
        ({"role": "tool", "tool_call_id": "c1", "content": "42"}, RESULT),
        ({**RESULT, "output": None}, {**RESULT, "output": []}),
        ({**ANSWER, "content": []}, {"role": "assistant", "content": ""}),
        (
            {"role": "assistant", "content": [{"type": "output_text", "text": "a"}]},
            {"role": "assistant", "content": "a"},
        ),
    ],
)
def test_what_vllm_refuses_or_fails_on_is_sent_in_a_form_that_it_takes(
    item: dict[str, Any], sent: dict[str, Any]
) -> None:
    """Seen with vLLM 0.32.0: a 400 or, for an answer without parts, a 500."""
    conversation = ResponsesInput([USER, item], None)
    assert [change.what for change in conversation.changes] == ["content"]
    assert conversation.arguments(conversation.messages)["input"] == [USER, sent]


def test_parts_that_a_repair_has_given_chats_type_are_sent_as_one_string() -> None:
    """vLLM refuses them here, and mistral-common what vLLM takes in their place."""
    conversation = ResponsesInput([TYPED], None)
    parts = [{"type": "text", "text": "yo"}, {"type": "text", "text": "there"}]
    written = conversation.arguments([{"role": "user", "content": parts}])["input"]
    assert written == [{"role": "user", "content": "yo\nthere"}]


def test_a_reply_with_a_picture_keeps_it() -> None:
    """vLLM reads all parts of a reply whose first one has no text."""
    said, seen = {"type": "input_text", "text": "look"}, {"type": "input_image", "image_url": "x"}
    conversation = ResponsesInput([USER, {"role": "assistant", "content": [said, seen]}], None)
    written = conversation.arguments(conversation.messages)["input"]
    assert written[1] == {"role": "assistant", "content": [seen, said]}
    assert conversation.read_back(conversation.messages) == conversation.messages


def test_pydantic_items_are_read_and_kept() -> None:
    """The objects of an earlier response can be given back as they are."""
    call = ResponseFunctionToolCall(
        type="function_call", call_id="c1", name="f", arguments='{"x": 1}'
    )
    conversation = ResponsesInput([USER, call], None)
    assert conversation.messages[1] == {"role": "assistant", "tool_calls": [CALL_READ]}
    assert conversation.arguments(conversation.messages)["input"][1] is call


@pytest.mark.parametrize(
    ("request_input", "instructions", "words"),
    [
        (None, None, "input: must be a string or a list"),
        (3, None, "input: must be a string or a list"),
        ([], None, "input: empty"),
        ("  ", None, "input: no message has any text"),
        ("hi", 3, "instructions: must be a string"),
        ([USER, "hi"], None, "input[1]: must be an object"),
        ([USER, {"content": "hi"}], None, "input[1]: has no role"),
        ([USER, {"role": "wizard", "content": "hi"}], None, "input[1]: unknown role 'wizard'"),
        ([USER, {"role": "user", "content": 3}], None, "input[1]: content must be"),
        ([{"role": "user", "content": ""}, CALL | {"type": "x"}], None, None),
        ([{"role": "user", "content": ""}], None, "input[0]: no message has any text"),
        ([USER, CALL, RESULT, ANSWER], "be kind", None),
        ("", "be kind", None),
    ],
)
def test_a_fault_is_named_by_its_item(
    request_input: object, instructions: object, words: str | None
) -> None:
    """What is no conversation is named by the position in `input`; everything else is no fault."""
    fault = find_input_error(request_input, instructions)
    if words is None:
        assert fault is None
    else:
        assert str(fault).startswith(words)


def test_an_extra_role_is_no_fault() -> None:
    """A role that the backend is said to know is let through."""
    items = [{"role": "wizard", "content": "hi"}]
    assert find_input_error(items, None, extra_roles=["wizard"]) is None


def test_reasoning_that_another_provider_encrypted_is_left_out() -> None:
    """vLLM refuses a request with it, and the rest of the item is read."""
    thought = {**THOUGHT, "encrypted_content": "gAAAA=="}
    given = ResponsesInput([USER, thought, {"role": "assistant", "content": "a"}, USER], None)
    assert [change.what for change in given.changes] == ["items"]
    sent = given.arguments(given.messages)["input"]
    assert sent == [USER, THOUGHT, {"role": "assistant", "content": "a"}, USER]
    assert thought["encrypted_content"] == "gAAAA=="


def test_reasoning_without_anything_encrypted_goes_on_as_it_came() -> None:
    """A null is what OpenAI's own client sends back."""
    thought = {**THOUGHT, "encrypted_content": None}
    given = ResponsesInput([USER, thought, USER], None)
    assert not given.changes
    assert given.arguments(given.messages)["input"][1] is thought
