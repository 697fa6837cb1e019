"""`role-guard batch`, against a backend in this process."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from litellm_role_guard import ChatTemplate
from litellm_role_guard.batch.journal import MAGIC
from litellm_role_guard.simulator import create_app
from testing.batches import answers, prompts, read, role_guard, summary, written
from testing.flaky import MODEL, flaky
from testing.serving import serving
from testing.templates import STRICT

FAULTS = {"429": 0.1, "500": 0.1, "drop": 0.1, "hang": 0.02}


def test_all_are_answered_in_the_order_of_the_input(tmp_path: Path) -> None:
    """Each answer has its question, and as many are under way as may be."""
    file, out = prompts(tmp_path / "in.jsonl", 60), tmp_path / "out.jsonl"
    with flaky(seconds=0.05) as backend:
        result = role_guard(
            "batch", file, out, "--proxy", backend.url, "--model", MODEL, "--max-concurrent", 20
        )
    assert result.exit_code == 0
    assert [line["custom_id"] for line in read(out)] == [f"request-{n}" for n in range(1, 61)]
    assert all(f'"question {n}"' in text for n, text in enumerate(answers(out)))
    assert max(backend.in_flight) == 20
    assert summary(result)["answered"] == 60


@pytest.mark.slow
def test_whatever_fails_now_and_then_is_answered_in_the_end(tmp_path: Path) -> None:
    """429, 500, dropped connections and silence are tried again, and the tries are counted."""
    file, out = prompts(tmp_path / "in.jsonl", 80), tmp_path / "out.jsonl"
    with flaky(FAULTS) as backend:
        result = role_guard(
            *("batch", file, out, "--backend", backend.url, "--max-concurrent", 40),
            *("--timeout", 1.0, "--max-tries", 20),
        )
    assert result.exit_code == 0, result.stderr
    assert all(f'"question {n}"' in text for n, text in enumerate(answers(out)))
    assert set(backend.answered.values()) == {1}
    sums = summary(result)
    assert sums["sent_again"] == sum(backend.asked.values()) - 80 > 0
    assert sum(sums["tries"].values()) == 80


def test_the_same_command_asks_nothing_twice(tmp_path: Path) -> None:
    """What is answered stays answered, in another form of output as well."""
    file, out = prompts(tmp_path / "in.jsonl", 5), tmp_path / "out.jsonl"
    with flaky() as backend:
        command = ("batch", file, out, "--proxy", backend.url, "--model", MODEL)
        assert role_guard(*command).exit_code == 0
        before = out.read_bytes()
        again = role_guard(*command)
        assert (again.exit_code, out.read_bytes()) == (0, before)
        assert summary(again)["answered_before"] == 5
        assert role_guard(*command, "--text-only").exit_code == 0
    assert set(backend.asked.values()) == {1}
    assert out.read_text().splitlines()[3] == 'I read 1 turn; the last said: "question 3"'


def test_an_error_has_its_line_its_status_and_its_words(tmp_path: Path) -> None:
    """A refusal is final, the others go on, and the exit code says so."""
    file = written(tmp_path / "in.jsonl", [{"prompt": "a", "max_tokens": 10**6}, {"prompt": "b"}])
    out = tmp_path / "out.jsonl"
    with flaky() as backend:
        command = ("batch", file, out, "--proxy", backend.url, "--model", MODEL)
        result = role_guard(*command)
        assert (result.exit_code, summary(result)["errors"]) == (1, {"400": 1})
        failed, answered = read(out)
        assert (failed["response"]["status_code"], failed["error"]["code"]) == (400, "400")
        assert "max_tokens" in failed["error"]["message"]
        assert failed["response"]["body"]["error"]["message"] == failed["error"]["message"]
        assert (answered["response"]["status_code"], answered["error"]) == (200, None)
        role_guard(*command, "--text-only")
        assert out.read_text().startswith("error 400: ")
        assert role_guard(*command, "--retry-failed").exit_code == 1
    assert backend.asked == {"a": 2, "b": 1}


def test_too_many_errors_end_it(tmp_path: Path) -> None:
    """With --fail-fast at the first one; what was not asked is asked by the same command later."""
    lines = [{"prompt": f"{n}", "max_tokens": 10**6} for n in range(50)]
    file, out = written(tmp_path / "in.jsonl", lines), tmp_path / "out.jsonl"
    with flaky() as backend:
        target = ("--proxy", backend.url, "--model", MODEL, "--max-concurrent", 2)
        command = ("batch", file, out, *target)
        result = role_guard(*command, "--fail-fast")
        assert (result.exit_code, summary(result)["ending"]) == (1, "given_up")
        assert 1 <= summary(result)["failed"] < 10
        result = role_guard(*command, "--max-errors", 20)
        assert 20 < summary(result)["failed"] < 30
        assert summary(role_guard(*command))["failed"] == 50
    assert set(backend.asked.values()) == {1}


def test_a_server_that_sheds_load_is_asked_less_at_once(tmp_path: Path) -> None:
    """The pace follows what there is room for, and no answer is lost."""
    file, out = prompts(tmp_path / "in.jsonl", 200), tmp_path / "out.jsonl"
    with flaky(room=10, seconds=0.01) as backend:
        result = role_guard(
            "batch", file, out, "--proxy", backend.url, "--model", MODEL, "--max-concurrent", 40
        )
    assert (result.exit_code, summary(result)["answered"]) == (0, 200)
    assert 200 < sum(backend.asked.values()) < 320


def test_straight_to_a_vllm_the_guard_repairs(tmp_path: Path) -> None:
    """What a proxy would repair is repaired here, and counted."""
    user = {"role": "user", "content": "are you there?"}
    file, out = written(tmp_path / "in.jsonl", [{"messages": [user, user]}]), tmp_path / "out"
    with flaky() as backend:
        result = role_guard("batch", file, out, "--backend", backend.url)
        assert (result.exit_code, summary(result)["changes"]) == (0, {"merged": 1})
        plain = tmp_path / "plain"
        command = ("batch", file, plain, "--proxy", backend.url, "--model", MODEL)
        assert role_guard(*command).exit_code == 1
    assert "roles must alternate" in read(plain)[0]["error"]["message"]


def test_straight_to_a_vllm_the_forms_of_others_are_written_in_openais(tmp_path: Path) -> None:
    """As through a proxy: each of these is a 400 of vLLM's own, whatever the template is."""
    asked, asks = {"role": "user", "content": "hi"}, {"role": "user", "content": "there?"}
    call = {"name": "look", "arguments": {"animal": "zebra"}}
    result = {"role": "tool", "content": "stripes"}
    thought = {"type": "reasoning", "text": "so"}
    conversations: list[list[Any]] = [
        [asked, {"role": "assistant", "content": None, "tool_calls": [call]}, result, asks],
        [{**asked, "content": [{"type": "input_text", "text": "hi"}]}],
        [{**asked, "content": ["hi"], "name": None}],
        [asked, {"role": "assistant", "content": [thought, {"type": "text", "text": "yes"}]}, asks],
    ]
    file = written(tmp_path / "in.jsonl", ({"messages": each} for each in conversations))
    out = tmp_path / "out.jsonl"
    with serving(create_app(ChatTemplate.from_path(STRICT), model=MODEL)) as url:
        command = ("batch", file, out, "--model", MODEL)
        unguarded = role_guard(*command, "--proxy", url)
        assert [line["response"]["status_code"] for line in read(out)] == [400] * 4
        guarded = role_guard(*command, "--backend", url, "--overwrite")
    assert (unguarded.exit_code, guarded.exit_code) == (1, 0), guarded.stderr
    assert summary(guarded)["changes"]["content"] == 3
    assert all("the last said" in text for text in answers(out))


def test_parameters_come_from_flags_and_from_lines(tmp_path: Path) -> None:
    """A line's own win; the model of the flag wins over all."""
    lines = [{"prompt": "a"}, {"prompt": "b", "temperature": 0.5, "model": "x", "answer": "no"}]
    file = written(tmp_path / "in.jsonl", lines)
    options = ("--max-tokens", 7, "--temperature", 0, "--param", "seed=3", "--system", "be brief")
    with flaky() as backend:
        result = role_guard(
            *("batch", file, tmp_path / "out", "--proxy", backend.url, "--model", MODEL),
            *("--max-concurrent", 1, *options),
        )
    assert result.exit_code == 0, result.stderr
    first, second = backend.bodies
    assert first["messages"][0] == {"role": "system", "content": "be brief"}
    assert {**first, "messages": None} == {
        "model": MODEL,
        "max_tokens": 7,
        "temperature": 0.0,
        "seed": 3,
        "messages": None,
    }
    assert (second["temperature"], second["model"], "answer" in second) == (0.5, MODEL, False)
    assert "not sent: answer" in result.stderr


def test_standard_input_and_output_are_files_as_well(tmp_path: Path) -> None:
    """Nothing is left behind, and nothing but answers is printed there."""
    with flaky() as backend:
        result = role_guard(
            *("batch", "-", "-", "--backend", backend.url, "--text-only", "--unordered", "-q"),
            stdin='"one"\n\n"two"\n',
        )
    assert (result.exit_code, result.stderr) == (0, "")
    assert {line.split(": ")[1] for line in result.stdout.splitlines()} == {'"one"', '"two"'}


@pytest.mark.parametrize("name", ["in.jsonl.gz", "in.csv", "in.parquet", "in.txt"])
def test_files_of_other_kinds_are_asked_alike(name: str, tmp_path: Path) -> None:
    """Packed JSON Lines, tables with a column of prompts, and plain text."""
    file = tmp_path / name
    texts = ["what, is war?", 'say "hi"']
    if name.endswith(".gz"):
        file.write_bytes(gzip.compress("\n".join(map(json.dumps, texts)).encode()))
    elif name.endswith(".csv"):
        file.write_text('id,prompt\n7,"what, is war?"\n8,"say ""hi"""\n')
    elif name.endswith(".txt"):
        file.write_text("\n".join(texts))
    else:
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.table({"id": [7, 8], "prompt": texts}), file)
    with flaky() as backend:
        command = ("batch", file, tmp_path / "out", "--proxy", backend.url, "--model", MODEL)
        result = role_guard(*command)
    assert result.exit_code == 0, result.stderr
    assert set(backend.asked) == set(texts)
    if "." + name.rpartition(".")[2] in (".csv", ".parquet"):
        assert [line["custom_id"] for line in read(tmp_path / "out")] == ["7", "8"]


def test_a_journal_that_was_cut_is_gone_on_with(tmp_path: Path) -> None:
    """At its header as well as in its last line; only what was lost is asked again."""
    file, out = prompts(tmp_path / "in.jsonl", 4), tmp_path / "out.jsonl"
    journal = tmp_path / "out.jsonl.journal"
    with flaky() as backend:
        command = ("batch", file, out, "--proxy", backend.url, "--model", MODEL)
        role_guard(*command)
        whole = journal.read_bytes()
        journal.write_bytes(whole[:-20])
        assert summary(role_guard(*command))["answered_before"] == 3
        assert len(read(out)) == 4
        journal.write_bytes(MAGIC[:5])
        out.unlink()
        assert summary(role_guard(*command))["answered_before"] == 0
    assert [line["custom_id"] for line in read(out)] == [f"request-{n}" for n in range(1, 5)]
