"""What LiteLLM's translation of Gemini's API to chat messages reads of a request."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from litellm.google_genai.adapters.transformation import GoogleGenAIAdapter

from litellm_role_guard.endpoints.generate_content import find_contents_error, readable_contents

USER = {"role": "user", "parts": [{"text": "hi"}]}
CALL = {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"x": 1}}}]}
RESPONSE = {"functionResponse": {"name": "f", "response": {"output": "42"}}}
PNG = "iVBORw0KGgo="
PICTURE = {"inlineData": {"mimeType": "image/png", "data": PNG}}


def read(body: dict[str, Any]) -> list[Any]:
    """Give the chat messages that LiteLLM makes of a request after the guard has changed it."""
    body = {**body, **readable_contents(body)}
    translate = GoogleGenAIAdapter().translate_generate_content_to_completion
    system = {key: value for key, value in body.items() if key != "contents"}
    messages: list[Any] = translate("a model", body["contents"], **system)["messages"]
    return messages


def answered(*parts: Any, role: str = "user") -> dict[str, Any]:
    """Give a request in which a call is answered by these parts."""
    return {"contents": [USER, CALL, {"role": role, "parts": list(parts)}]}


@pytest.mark.parametrize(
    "system",
    [
        {"parts": [{"text": "be kind"}, {"text": "be brief"}]},
        [{"text": "be kind"}, {"text": "be brief"}],
        {"role": "user", "parts": [{}, {"text": "be kind\nbe brief"}]},
        "be kind\nbe brief",
    ],
)
@pytest.mark.parametrize("field", ["systemInstruction", "system_instruction"])
def test_the_whole_system_instruction_is_read(field: str, system: object) -> None:
    """In all forms in which clients write it; LiteLLM reads its first part alone."""
    messages = read({"contents": [USER], field: system})
    assert messages[0] == {"role": "system", "content": "be kind\nbe brief"}


@pytest.mark.parametrize("role", ["function", "tool", "user"])
@pytest.mark.parametrize("name", ["functionResponse", "function_response"])
def test_a_function_s_response_is_read_whatever_its_role_and_spelling(role: str, name: str) -> None:
    """LiteLLM leaves out contents in other roles, and parts in snake case."""
    messages = read(answered({name: RESPONSE["functionResponse"]}, role=role))
    assert [message["role"] for message in messages] == ["user", "assistant", "tool"]
    assert json.loads(messages[2]["content"]) == {"output": "42"}


def test_what_is_said_behind_a_response_is_read_behind_it() -> None:
    """LiteLLM would put it between the call and the result, where no template takes it."""
    messages = read(answered({"text": "before"}, RESPONSE, RESPONSE, {"text": "after"}))
    read_in_order = [(message["role"], message["content"]) for message in messages[2:]]
    result = '{"output": "42"}'
    assert read_in_order == [
        ("user", "before"),
        ("tool", result),
        ("tool", result),
        ("user", "after"),
    ]


@pytest.mark.parametrize("nested", [False, True], ids=["apart", "in the response"])
def test_a_picture_is_read_in_both_spellings(nested: bool) -> None:
    """LiteLLM reads `inline_data` with a `mime_type` alone, and looks for none in a response."""
    response = {**RESPONSE["functionResponse"], "parts": [PICTURE]}
    parts = [{"functionResponse": response}] if nested else [RESPONSE, PICTURE]
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    messages = read(answered(*parts))
    assert [message["role"] for message in messages[2:]] == ["tool", "user"]
    assert messages[3]["content"] == [picture]


def test_parts_of_other_kinds_are_read_as_what_they_hold() -> None:
    """Code that the provider ran, and what came of it, is text for every other model."""
    code = {"executableCode": {"language": "PYTHON", "code": "print(7)"}}
    output = {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "7"}}
    said = read({"contents": [USER, {"role": "model", "parts": [code, output]}]})[1]["content"]
    assert said.index("print(7)") < said.index("OUTCOME_OK")


def test_a_thought_is_not_read_as_the_answer() -> None:
    """LiteLLM writes it before the answer; nor does a content of thoughts become an empty turn."""
    thought = {"text": "hmm", "thought": True}
    answer = {"text": "yes", "thoughtSignature": "c2lnbmVk"}
    contents = [
        USER,
        {"role": "model", "parts": [thought]},
        {"role": "model", "parts": [thought, answer]},
    ]
    messages = read({"contents": contents})
    assert [message["content"] for message in messages] == ["hi", "yes"]


@pytest.mark.parametrize(
    "body",
    [
        {"contents": USER},
        {"contents": [USER, CALL, {"role": "user", "parts": [RESPONSE, RESPONSE]}]},
        {"contents": [{"parts": [{"text": ""}, "hi"]}, {"role": "model", "parts": []}, USER]},
        {"contents": [USER], "systemInstruction": {"role": "user", "parts": [{"text": "be kind"}]}},
        {"contents": [USER], "systemInstruction": {"parts": None}},
        {"contents": [{"role": "wizard"}]},
        {"contents": None},
    ],
)
def test_what_litellm_reads_whole_and_what_is_malformed_stays_as_it_is(body: Any) -> None:
    """Nothing has to change, and the request is never written into."""
    before = copy.deepcopy(body)
    assert readable_contents(body) == {}
    assert body == before


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        (None, "contents: missing"),
        ("hi", "contents: must be a list"),
        ([USER, "hi"], "contents[1]: must be an object"),
        ([USER, {"role": "system", "parts": []}], "contents[1]: unknown role 'system'; known are"),
        ([USER, {"role": 3, "parts": []}], "contents[1]: unknown role of another type"),
        ([{"role": "user", "parts": {"text": "hi"}}], "contents[0]: parts must be a list"),
        ([{"role": "user", "parts": [3]}], "contents[0]: each part must be"),
    ],
)
def test_a_fault_is_named_by_its_place(contents: object, words: str) -> None:
    """LiteLLM would fail over it, or leave the content out in silence."""
    assert str(find_contents_error(contents)).startswith(words)


def test_what_is_translated_has_no_fault() -> None:
    """A single object, and contents without a role or parts, are what the API takes."""
    for contents in (USER, [{"parts": ["hi"]}, {"role": "model"}], answered(RESPONSE)["contents"]):
        assert find_contents_error(contents) is None


def test_what_stands_below_a_response_may_be_anything() -> None:
    """A mere text is read, and what says nothing is left out."""
    parts: list[Any] = [None, 5, "zebra", [], {}]
    response = {"name": "look", "response": {"output": "blue"}, "parts": parts}
    contents = [{"role": "user", "parts": [{"functionResponse": response}]}]
    made = readable_contents({"contents": contents})["contents"]
    assert made[1]["parts"] == ["5", "zebra"]


def test_a_deep_system_instruction_is_left_as_it_is() -> None:
    """A text that is none is not made one: it may be of any depth."""
    deep: Any = []
    for _ in range(5000):
        deep = [deep]
    body = {
        "contents": [{"parts": [{"text": "hi"}]}],
        "systemInstruction": {"parts": [{"text": deep}, {"text": "x"}]},
    }
    assert readable_contents(body) == {}


@pytest.mark.parametrize(
    ("role", "part"),
    [
        ("user", {"functionCall": {"name": "zebra", "args": {}}}),
        ("function", {"functionResponse": "zebra"}),
        ("user", {"text": {"said": "zebra"}}),
        ("model", {"text": ["zebra"]}),
        ("model", {"functionCall": ["zebra"]}),
        ("model", {"inlineData": {"mimeType": "text/plain", "name": "zebra"}}),
        ("user", {"inline_data": ["zebra"]}),
    ],
)
def test_what_is_no_part_of_its_role_is_read_as_text(role: str, part: dict[str, Any]) -> None:
    """LiteLLM leaves it out, or fails over it."""
    said = read({"contents": [USER, {"role": role, "parts": [part]}]})
    assert said[-1]["role"] == ("assistant" if role == "model" else "user")
    assert "zebra" in said[-1]["content"]


def test_a_response_among_the_model_s_words_is_the_tool_s() -> None:
    """LiteLLM leaves it out; as text the model would have said it."""
    parts = [
        {"functionCall": {"name": "look", "args": {}}},
        {"functionResponse": {"name": "look", "response": {"a": "zebra"}, "parts": ["stripes"]}},
        {"text": "a zebra it is"},
    ]
    said = read({"contents": [USER, {"role": "model", "parts": parts}]})
    assert [each["role"] for each in said] == ["user", "assistant", "tool", "user", "assistant"]
    assert "zebra" in said[2]["content"]
    assert said[3]["content"] == "stripes"
    assert said[4]["content"] == "a zebra it is"


def test_a_part_that_is_an_empty_text_stays() -> None:
    """A content with nothing in it is one all the same: that it says nothing is told further on."""
    assert readable_contents({"contents": [{"role": "user", "parts": [""]}]}) == {}
