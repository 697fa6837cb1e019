"""What cannot be asked: one clear line each, as docs/batch.md has it, and nothing lost."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from testing.batches import prompts, read, role_guard, summary
from testing.flaky import MODEL, Flaky, flaky
from testing.processes import REPOSITORY
from testing.serving import serving

PAGE = (REPOSITORY / "docs" / "batch.md").read_text()
ANYWHERE = ("--proxy", "http://127.0.0.1:9", "--model", MODEL)


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def backend() -> Iterator[Flaky]:
    """Serve a backend that fails never."""
    with flaky() as served:
        yield served


def refused(*arguments: object, code: int = 2) -> str:
    """Give what a batch says that cannot begin, having looked it up on the page."""
    result = role_guard("batch", *arguments)
    assert result.exit_code == code, result.output
    said = [line for line in result.stderr.splitlines() if not line.startswith("{")]
    shown = re.sub(r"http://127\.0\.0\.1:\d+", "http://localhost:4000", said[0])
    shown = re.sub(r"(cannot be reached: ).*", r"\1", shown)
    assert shown in PAGE, shown
    return said[0]


@pytest.mark.parametrize(
    ("name", "written", "words"),
    [
        ("missing.jsonl", None, "missing.jsonl: No such file or directory"),
        ("empty.jsonl", b"\n", "empty.jsonl: empty"),
        ("prompts.jsonl", b'"a"\n["b",}\n', "prompts.jsonl: line 2, column 6: not JSON: Expecting"),
        (
            "chats.jsonl",
            b'{"messages": [{"role": "user", "content": "hi"}]}\n{"messages": []}',
            "chats.jsonl: line 2: messages: empty; at least one message is needed",
        ),
        (
            "requests.jsonl",
            b'{"prompt": "a", "custom_id": "1"}\n{"prompt": "b", "custom_id": "1"}\n',
            "requests.jsonl: requests 1 and 2 have the same custom_id '1'",
        ),
        ("table.csv", b"question_id,wording\n1,why?\n", "table.csv: which column has the prompts?"),
        ("cut.jsonl.gz", b"\x1f\x8b\x08", "cut.jsonl.gz: cannot be unpacked: "),
    ],
)
def test_a_bad_file_is_found_before_anything_is_sent(
    name: str, written: bytes | None, words: str
) -> None:
    """With its line, and no output is begun."""
    if written is not None:
        Path(name).write_bytes(written)
    assert refused(name, "answers.jsonl", *ANYWHERE).startswith(f"Error: {words}")
    assert not Path("answers.jsonl").exists()
    assert not Path("answers.jsonl.journal").exists()


def test_a_line_of_another_kind_is_named(backend: Flaky) -> None:
    """And so is a line without a model, where no flag names one."""
    Path("prompts.jsonl").write_text('{"prompt": "a"}\n{"promt": "b"}\n')
    said = refused("prompts.jsonl", "answers.jsonl", *ANYWHERE)
    assert said == "Error: prompts.jsonl: line 2: must be an object with `prompt`"
    prompts(Path("fine.jsonl"), 1)
    said = refused("fine.jsonl", "answers.jsonl", "--proxy", backend.url)
    assert said == "Error: fine.jsonl: line 1: no model: name one with --model, or in the line"


def test_an_output_of_something_else_is_left_alone(backend: Flaky) -> None:
    """Whatever it is, until --overwrite is given."""
    prompts(Path("prompts.jsonl"), 2)
    target = ("--proxy", backend.url, "--model", MODEL)
    Path("diary.txt").write_text("dear diary")
    said = refused("prompts.jsonl", "diary.txt", *target)
    assert said.startswith("Error: diary.txt: exists, and no diary.txt.journal says what it")
    assert Path("diary.txt").read_text() == "dear diary"
    assert refused("prompts.jsonl", "prompts.jsonl", *target).endswith(
        "prompts.jsonl: is the input"
    )
    command = ("prompts.jsonl", "answers.jsonl", *target)
    assert role_guard("batch", *command).exit_code == 0
    before = Path("answers.jsonl").read_bytes()
    said = refused(*command, "--system", "be brief")
    assert said.startswith("Error: answers.jsonl.journal: was begun with another system")
    prompts(Path("prompts.jsonl"), 3)
    assert "prompts.jsonl has changed" in refused(*command)
    Path("prompts.jsonl").rename("other.jsonl")
    assert "belongs to prompts.jsonl" in refused("other.jsonl", *command[1:])
    assert Path("answers.jsonl").read_bytes() == before
    assert role_guard("batch", "other.jsonl", *command[1:], "--overwrite").exit_code == 0
    assert len(read(Path("answers.jsonl"))) == 3


def test_a_changed_standard_input_is_noticed(backend: Flaky) -> None:
    """At the first line that asks something else than the one that was answered."""
    command = ("batch", "-", "answers.jsonl", "--proxy", backend.url, "--model", MODEL)
    assert role_guard(*command, stdin='"a"\n"b"\n').exit_code == 0
    assert summary(role_guard(*command, stdin='"a"\n"b"\n"c"\n'))["answered_before"] == 2
    result = role_guard(*command, stdin='"a"\n"x"\n')
    assert result.exit_code == 2
    assert "Error: request 2 was answered before, but asked something else" in result.stderr
    assert len(read(Path("answers.jsonl"))) == 3


def test_a_server_that_cannot_be_asked_is_found_out_by_one_request(backend: Flaky) -> None:
    """Nobody there, a wrong key, no such model."""
    prompts(Path("prompts.jsonl"), 50)
    assert "cannot be reached: " in refused("prompts.jsonl", "answers.jsonl", *ANYWHERE)
    command = ("prompts.jsonl", "answers.jsonl", "--api-key", "wrong")
    before = sum(backend.asked.values())
    said = refused(*command, "--proxy", backend.url, "--model", "gemma4")
    assert said.endswith(
        "the first request: The model `gemma4` does not exist. Valid aliases: m. (404)"
    )
    assert sum(backend.asked.values()) - before == 1
    assert not list(Path().glob("answers*"))

    with serving(locked(401, b"{}")) as url:
        said = refused(*command, "--proxy", url, "--model", MODEL)
    assert said.endswith("refuses the API key (401): --api-key, ROLE_GUARD_API_KEY")


def locked(status: int, body: bytes) -> ASGIApp:
    """Give a server that answers everything with one error."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": body})

    return app


@pytest.mark.parametrize(
    ("status", "body", "key", "words"),
    [
        (
            500,
            b"Internal Server Error",
            (),
            "fails, as LiteLLM does without an API key (500): --api-key, ROLE_GUARD_API_KEY",
        ),
        (
            400,
            b'{"error": {"message": "No connected db."}}',
            ("--api-key", "wrong"),
            "refuses the API key (400): --api-key, ROLE_GUARD_API_KEY: No connected db.",
        ),
    ],
)
def test_a_litellm_without_a_database_is_not_tried_for_minutes(
    status: int, body: bytes, key: tuple[str, ...], words: str
) -> None:
    """It answers a missing key with a 500, and a wrong one with a 400."""
    prompts(Path("prompts.jsonl"), 1)
    with serving(locked(status, body)) as url:
        said = refused("prompts.jsonl", "out", "--proxy", url, "--model", MODEL, *key)
    assert said == f"Error: {url}: {words}"


def test_a_full_disk_loses_no_answer(backend: Flaky, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written stays, the exit code is 3, and the same command goes on."""
    prompts(Path("prompts.jsonl"), 30)
    command = ("prompts.jsonl", "answers.jsonl", "--proxy", backend.url, "--model", MODEL)
    room, real = [9000], os.pwrite

    def pwrite(file: int, data: bytes, offset: int) -> int:
        written = real(file, data[: room[0]], offset)
        room[0] -= written
        if not written:
            raise OSError(28, "No space left on device")
        return written

    monkeypatch.setattr(os, "pwrite", pwrite)
    said = refused(*command, code=3)
    assert said == "Error: answers.jsonl.journal: No space left on device"
    monkeypatch.setattr(os, "pwrite", real)
    kept = Path("answers.jsonl.journal").read_bytes().count(b"\n") - 1
    assert 0 < kept < 30
    sums = summary(role_guard("batch", *command))
    assert (sums["answered"], sums["answered_before"]) == (30, kept)


def test_wrong_options_say_what_is_wrong() -> None:
    """In click's words, with an example."""
    prompts(Path("prompts.jsonl"), 1)
    result = role_guard("batch", "prompts.jsonl", "out", *ANYWHERE, "--param", "stop=END")
    assert result.exit_code == 2
    assert """--param stop=END: not NAME=JSON, as in --param stop='["END"]'""" in result.stderr
    assert json.loads('["END"]') == ["END"]


def test_a_proxy_and_a_backend_are_one_too_many() -> None:
    """One of them would be passed over in silence; the variable of the other is no reason."""
    prompts(Path("prompts.jsonl"), 1)
    both = ("prompts.jsonl", "out", "--backend", "http://a", "--proxy", "http://b")
    result = role_guard("batch", *both)
    assert result.exit_code == 2
    assert "Error: give either --proxy or --backend\n" in result.stderr


def test_a_reader_that_has_read_enough_is_no_error(backend: Flaky) -> None:
    """`role-guard batch ... - | head -1` says nothing of a broken pipe."""
    prompts(Path("prompts.jsonl"), 1)
    command = [sys.executable, "-c", "from litellm_role_guard.cli import main; main()"]
    command += ["batch", "prompts.jsonl", "-", "--proxy", backend.url, "--model", MODEL, "-q"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert (process.stderr.read(), process.wait()) == (b"", 3)
