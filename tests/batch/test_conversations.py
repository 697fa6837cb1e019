"""Files that hold conversations, and those that hold none."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from litellm_role_guard.batch.checking import conversations_in
from litellm_role_guard.batch.conversation import FileConversation
from litellm_role_guard.batch.errors import BadInput
from litellm_role_guard.batch.formats.reader import InputFile
from litellm_role_guard.batch.formats.sharegpt import from_turns
from testing.conversations import assistant, system, user

RUN = [user("hello"), assistant("hi"), user("are you there?"), user("hello again")]


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read_conversations(
    written: bytes, name: str, format_name: str | None = None
) -> list[FileConversation]:
    """Give the conversations of a file of this name."""
    Path(name).write_bytes(written)
    return list(conversations_in(InputFile(name, format_name)))


def test_a_conversation_is_a_list_or_an_object() -> None:
    """The body of a request is one, with its tools and its prefill."""
    tools = [{"type": "function", "function": {"name": "f"}}]
    opening = [*RUN, assistant("Well,")]
    written = {
        "model": "m",
        "messages": opening,
        "tools": tools,
        "continue_final_message": True,
    }
    assert _read(RUN) == [FileConversation(RUN)]
    assert _read({"messages": RUN, "tools": []}) == [FileConversation(RUN)]
    assert _read(written) == [FileConversation(opening, tools, prefill=True)]
    assert _read([*RUN, {**assistant("Well,"), "prefix": True}])[0].prefill
    assert not _read({**written, "messages": RUN})[0].prefill


def _read(value: Any) -> list[FileConversation]:
    return read_conversations(json.dumps(value, indent=1).encode(), "chat.json")


@pytest.mark.parametrize("name", ["chats.jsonl", "chats.ndjson", "stdin"])
def test_lines_hold_a_conversation_each(name: str) -> None:
    """Empty lines count, and a line separator of Unicode's is none of JSON Lines."""
    odd = [user("one\u2028two")]
    written = f"{json.dumps(RUN)}\n\n{json.dumps({'messages': odd}, ensure_ascii=False)}\r\n"
    assert read_conversations(written.encode(), name) == [
        FileConversation(RUN, line=1),
        FileConversation(odd, line=3),
    ]


def test_a_single_line_of_lines_is_numbered() -> None:
    """By its name, since as JSON it would be a whole file."""
    written = json.dumps(RUN).encode()
    assert read_conversations(written, "a.jsonl") == [FileConversation(RUN, line=1)]
    assert read_conversations(b"\xef\xbb\xbf" + written, "a.json") == [FileConversation(RUN)]


@pytest.mark.parametrize(
    ("written", "name", "words"),
    [
        (b"", "a.json", "empty"),
        (b" \n\n", "a.jsonl", "empty"),
        (b"\xff", "a.json", "line 1: not UTF-8"),
        (b'"a"\n\xe9', "a.jsonl", "line 2: not UTF-8"),
        (b'[\n {"role": "user"\n', "a.json", "line 3, column 1: not JSON: Expecting ',' delimiter"),
        (b"[]]", "a.json", "line 1, column 3: not JSON: Extra data"),
        (b'[{"role": "user", "content": "a"}]\n[', "a", "line 2, column 2: not JSON: Expecting"),
        (b"3", "a.jsonl", "line 1: must be a list of messages, or an object with `messages`"),
        (b"[]", "a.json", "messages: empty; at least one message is needed"),
        (b"{}", "a.json", "messages: missing"),
        (b"[1]", "a.json", "messages[0]: must be an object, not a number"),
        (b'[{"role": "wizard"}]', "a.json", "messages[0]: unknown role 'wizard'; known are"),
        (b'[{"role": "user", "content": ""}]', "a.json", "messages[0]: no message has any text"),
        (b'[{"content": ""}]\n', "a.jsonl", "line 1: messages[0]: has no role"),
        (b'[{"role": "user", "content": "\\ud83d"}]', "a.json", "holds half of a surrogate pair"),
        (b'[{"role": "user", "n": NaN}]', "a.json", "cannot be read: NaN is no number in JSON"),
        (b"[" * 100_000, "a.json", "cannot be read: maximum recursion"),
        (b"[" + b"9" * 5000 + b"]", "a.json", "cannot be read: Exceeds the limit"),
        (
            b'[{"role": "user", "content": "a"}, {"role": "tool", "tool_call_id": 3}]',
            "a.json",
            "messages[1]: tool_call_id must be a string",
        ),
        (
            b'[{"role": "assistant", "tool_calls": [{"id": "a"}, {"id": [3]}]}]',
            "a.json",
            "messages[0]: tool_calls[1].id must be a string",
        ),
        (
            b'{"messages": [{"role": "user", "content": "a"}], "tools": "f"}',
            "a.json",
            "tools: must be a list of objects",
        ),
    ],
)
def test_what_is_no_conversation_is_named_with_its_place(
    written: bytes, name: str, words: str
) -> None:
    """In one line that holds no message text."""
    with pytest.raises(BadInput) as refused:
        read_conversations(written, name)
    assert str(refused.value).startswith(f"{name}: {words}")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("value", "messages"),
    [
        ("hello", [user("hello")]),
        ({"prompt": "hello"}, [user("hello")]),
        ({"prompt": "hello", "answer": "x"}, [user("hello")]),
        ({"messages": RUN}, RUN),
        (RUN, RUN),
        ({"custom_id": "1", "url": "/v1/chat/completions", "body": {"messages": RUN}}, RUN),
        ({"custom_id": "1", "url": "/v1/responses", "body": {"input": "hello"}}, [user("hello")]),
        (
            {"system": "be brief", "conversations": [{"from": "human", "value": "hello"}]},
            [system("be brief"), user("hello")],
        ),
        (
            [{"from": "user", "value": "a"}, {"from": "gpt", "value": "b"}],
            [user("a"), assistant("b")],
        ),
    ],
    ids=lambda value: "",
)
def test_each_kind_of_line_is_found_out(value: Any, messages: list[Any]) -> None:
    """By the first line alone, in a file of any name."""
    written = (json.dumps(value) + "\n").encode()
    assert [each.messages for each in read_conversations(written * 2, "lines")] == [messages] * 2


def test_a_file_has_lines_of_one_kind() -> None:
    """The first line says which, and --format instead of it."""
    with pytest.raises(BadInput, match="line 2: must be an object with `prompt`"):
        read_conversations(b'{"prompt": "a"}\n{"messages": []}', "a.jsonl")
    with pytest.raises(BadInput, match="line 1: must be an OpenAI batch line"):
        read_conversations(b'"a"', "a.jsonl", "openai")
    assert read_conversations(b'"a"\n', "a.jsonl", "text")[0].messages == [user('"a"')]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ({"custom_id": "1", "url": "/v1/files", "body": {}}, "url: must be one of /v1/chat"),
        ({"custom_id": "1", "method": "GET", "body": {}}, "method: must be POST, not 'GET'"),
        ({"custom_id": "1", "body": []}, "body: must be an object"),
        ({"body": {"messages": RUN}}, "custom_id: missing"),
        ({"custom_id": 1.5, "body": {"messages": RUN}}, "custom_id: must be a string"),
        ({"custom_id": "1", "url": "/v1/embeddings", "body": {}}, "body.input: must be a text"),
        ({"custom_id": "1", "url": "/v1/responses", "body": {"input": [3]}}, "body.input[0]: must"),
        ({"prompt": " "}, "prompt: must be a text that is not empty"),
        ({"prompt": None}, "prompt: must be a text that is not empty"),
        ({"conversations": []}, "conversations: must be a list of turns"),
        ({"conversations": [{"from": "god", "value": "a"}]}, "conversations[0]: unknown `from`"),
        ({"conversations": [{"from": "gpt"}]}, "conversations[0]: must be an object with"),
        ({"conversations": [{"from": "gpt", "value": "a"}], "tools": "{"}, "tools: no JSON"),
    ],
    ids=lambda value: "",
)
def test_a_bad_line_says_what_is_bad(line: Any, words: str) -> None:
    """With the file and the line."""
    with pytest.raises(BadInput) as refused:
        read_conversations(json.dumps(line).encode(), "a.jsonl")
    assert str(refused.value).startswith(f"a.jsonl: line 1: {words}")


def test_calls_of_sharegpt_have_their_results() -> None:
    """Its turns have no ids, and what cannot be read as a call is the assistant's text."""
    turns = [
        {"from": "human", "value": "weather?"},
        {"from": "function_call", "value": '{"name": "w", "arguments": {"at": "Rome"}}'},
        {"from": "observation", "value": "sunny"},
        {"from": "function_call", "value": "none"},
    ]
    tools = '[{"name": "w", "parameters": {}}]'
    (read,) = read_conversations(json.dumps({"conversations": turns, "tools": tools}).encode(), "a")
    call = read.messages[1]["tool_calls"][0]
    assert (call["function"]["name"], json.loads(call["function"]["arguments"])) == (
        *("w", {"at": "Rome"}),
    )
    assert read.messages[2]["tool_call_id"] == call["id"]
    assert read.messages[3] == assistant("none")
    assert read.tools == [{"type": "function", "function": {"name": "w", "parameters": {}}}]
    assert from_turns(read.messages) == [*turns[:3], {"from": "gpt", "value": "none"}]
    assert from_turns([{"role": "user", "content": [{"type": "text", "text": "a"}]}]) is None


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("a.csv", b'id,question\n1,"war; peace?"\n'),
        ("a.csv", b'id;question\r\n1;"war; peace?"\r\n'),
        ("a.csv", b'"id, or so";question\n1;"war; peace?"\n'),
        ("a.csv", b"id\tquestion\n1\twar; peace?\n"),
        ("a.tsv", b"id\tquestion\n1\twar; peace?\n"),
        ("a.csv", b"question\nwar; peace?\n"),
    ],
)
def test_a_table_is_read_with_the_sign_between_its_names(name: str, written: bytes) -> None:
    """Commas, the semicolons of many an Excel, or tabs; never a whole line as one prompt."""
    (only,) = read_conversations(written, name)
    assert only.messages == [user("war; peace?")]


@pytest.mark.parametrize(
    ("name", "written", "words"),
    [
        ("a.csv", b"x,y\n1,2\n", "a.csv: which column has the prompts? --column: x, y"),
        ("a.csv", b"prompt,y\n1\n", "a.csv: line 2: 1 cells, but 2 columns"),
        ("a.csv", b"prompt\n\xff\n", "a.csv: line 1: not UTF-8"),
        ("a.csv", b"", "a.csv: empty"),
        ("a.csv", b'prompt\n"a', "a.csv: line 2: no CSV: unexpected end of data"),
        ("a.parquet", b"PAR1", "a.parquet: no Parquet: "),
        ("a.jsonl.gz", b"[]", "a.jsonl.gz: cannot be unpacked: Not a gzipped file"),
        (
            "a.jsonl.gz",
            gzip.compress(b'"a"\n' * 999, mtime=0)[:-9],
            "a.jsonl.gz: cannot be unpacked: ",
        ),
    ],
)
def test_a_file_that_cannot_be_read_says_why(name: str, written: bytes, words: str) -> None:
    """Whatever it is packed in."""
    with pytest.raises(BadInput) as refused:
        read_conversations(written, name)
    assert str(refused.value).startswith(words)
