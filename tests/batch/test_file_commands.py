"""`role-guard repair` and `role-guard check --summary`, over files of every kind."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from litellm_role_guard import ChatTemplate
from litellm_role_guard.simulator import create_app
from testing.batches import read, role_guard, written
from testing.conversations import assistant, user
from testing.serving import serving
from testing.templates import STRICT

RUN = [user("hello"), assistant("hi"), user("are you there?"), user("hello again")]
MERGED = [*RUN[:2], user("are you there?\n\nhello again")]
TEMPLATE = ("--template", STRICT)


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def turns(messages: list[Any]) -> list[dict[str, str]]:
    """Write messages as ShareGPT does."""
    names = {"user": "human", "assistant": "gpt"}
    return [{"from": names[each["role"]], "value": each["content"]} for each in messages]


@pytest.mark.parametrize(
    ("line", "repaired"),
    [
        ({"messages": RUN, "id": 7}, {"messages": MERGED, "id": 7}),
        (RUN, MERGED),
        (
            {"custom_id": "1", "method": "POST", "body": {"model": "m", "messages": RUN}},
            {"custom_id": "1", "method": "POST", "body": {"model": "m", "messages": MERGED}},
        ),
        ({"conversations": turns(RUN), "id": "a"}, {"conversations": turns(MERGED), "id": "a"}),
        ({"prompt": "hello"}, {"prompt": "hello"}),
        ("hello", "hello"),
    ],
    ids=["messages", "list", "openai", "sharegpt", "prompt", "string"],
)
def test_a_line_keeps_its_form(line: Any, repaired: Any) -> None:
    """Only its messages change, and only where they have to."""
    written(Path("in.jsonl"), [line, line])
    result = role_guard("repair", "in.jsonl", "-o", "out.jsonl", *TEMPLATE)
    assert result.exit_code == 0, result.output
    assert read(Path("out.jsonl")) == [repaired, repaired]


def test_items_of_responses_are_repaired_as_such() -> None:
    """What vLLM reads of them is what the template takes."""
    body = {"model": "m", "instructions": "be brief", "input": RUN}
    written(Path("in.jsonl"), [{"custom_id": "1", "url": "/v1/responses", "body": body}])
    assert role_guard("repair", "in.jsonl", "-o", "out.jsonl", *TEMPLATE).exit_code == 0
    (line,) = read(Path("out.jsonl"))
    assert "are you there?\n\nhello again" in json.dumps(line["body"]).replace("\\n", "\n")
    assert role_guard("check", "out.jsonl", *TEMPLATE, "--summary").exit_code == 0


def test_a_bad_line_ends_it_and_leaves_no_output() -> None:
    """With --keep-going it is reported, and the others go on."""
    Path("in.jsonl").write_text(f'{json.dumps(RUN)}\n{{"messages":}}\n{json.dumps(RUN)}\n')
    Path("out.jsonl").write_text("before")
    result = role_guard("repair", "in.jsonl", "-o", "out.jsonl", *TEMPLATE)
    assert result.exit_code == 2
    assert result.stderr == "Error: in.jsonl: line 2, column 13: not JSON: Expecting value\n"
    assert Path("out.jsonl").read_text() == "before"
    assert sorted(path.name for path in Path().iterdir()) == ["in.jsonl", "out.jsonl"]
    result = role_guard("repair", "in.jsonl", "-o", "out.jsonl", *TEMPLATE, "--keep-going")
    assert result.exit_code == 1
    assert result.stderr.startswith("in.jsonl: line 2, column 13: not JSON")
    assert read(Path("out.jsonl")) == [MERGED, MERGED]
    result = role_guard("check", "in.jsonl", *TEMPLATE, "--summary", "--keep-going")
    assert "1 lines are bad and were left out" in result.stdout
    assert role_guard("check", "in.jsonl", *TEMPLATE, "--summary").exit_code == 2


@pytest.mark.slow
def test_many_lines_are_worked_on_by_several_processes_in_order() -> None:
    """Packed or not, and the sums are those of one process."""
    lines = [{"id": n, "messages": RUN if n % 10 == 0 else RUN[:3]} for n in range(1200)]
    packed = "".join(json.dumps(line) + "\n" for line in lines).encode()
    Path("in.jsonl.gz").write_bytes(gzip.compress(packed))
    result = role_guard("repair", "in.jsonl.gz", "-o", "out.jsonl", *TEMPLATE, "--jobs", 2)
    assert json.loads(result.stderr)["summary"] == {
        "lines": 1200,
        "repaired": 120,
        "bad": 0,
        "changes": {"merged": 120},
    }
    assert [line["id"] for line in read(Path("out.jsonl"))] == list(range(1200))
    sums = role_guard("check", "in.jsonl.gz", *TEMPLATE, "--summary", "--jobs", 2).stdout
    assert sums == role_guard("check", "in.jsonl.gz", *TEMPLATE, "--summary", "--jobs", 1).stdout
    assert "as they are: 1,080 fine, 0 lost, 0 wrong, 120 refused\n" in sums
    assert "repaired:    1,200 fine, 0 lost, 0 wrong, 0 refused\n" in sums
    assert "refused 120 times: Conversation roles must alternate" in sums


@pytest.mark.slow
def test_ctrl_c_ends_all_processes_without_a_traceback() -> None:
    """A terminal sends it to all of them, some of which have only just begun."""
    written(Path("in.jsonl"), [RUN] * 20_000)
    command = [sys.executable, "-c", "from litellm_role_guard.cli import main; main()"]
    command += ["check", "in.jsonl", *map(str, TEMPLATE), "--json", "--jobs", "2"]
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, start_new_session=True, **pipes) as process:
        assert process.stdout is not None
        process.stdout.readline()  # the first rows are this process's; then the others begin
        time.sleep(0.2)
        os.killpg(process.pid, signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert (process.returncode, told.strip()) == (1, "Aborted!")


def test_a_live_vllm_is_asked_alike() -> None:
    """For the repair, and for the sums."""
    written(Path("in.jsonl"), [RUN, RUN[:3]])
    with serving(create_app(ChatTemplate.from_path(STRICT), model="m")) as url:
        live = ("--backend", url)
        assert role_guard("repair", "in.jsonl", "-o", "live.jsonl", *live).exit_code == 0
        sums = role_guard("check", "in.jsonl", *live, "--summary")
    assert read(Path("live.jsonl")) == [MERGED, RUN[:3]]
    assert (sums.exit_code, sums.stdout) == (
        *(1, role_guard("check", "in.jsonl", *TEMPLATE, "--summary").stdout),
    )


def test_repair_does_not_write_over_its_input() -> None:
    """It would be read while it is written."""
    written(Path("in.jsonl"), [RUN])
    result = role_guard("repair", "in.jsonl", "-o", "in.jsonl", *TEMPLATE)
    assert (result.exit_code, result.stderr) == (2, "Error: in.jsonl: is the input\n")
    assert role_guard("repair", "in.jsonl", "-o", "-", *TEMPLATE, "-q").stdout == (
        json.dumps(MERGED) + "\n"
    )
    assert role_guard("repair", "in.jsonl", "-o", "no/where", *TEMPLATE).exit_code == 2
