"""`role-guard batch` against a real vLLM, judged by vLLM's own types of batch files."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from testing.batches import read, role_guard, summary, written
from testing.cases import CASES
from testing.vllm import MODEL, PYTHON

# What vLLM's own `run-batch` reads and writes.
JUDGE = """
import sys
from vllm.entrypoints.launchers.run_batch import BatchRequestInput, BatchRequestOutput
for kind, path in zip((BatchRequestInput, BatchRequestOutput), sys.argv[1:]):
    for line in open(path):
        kind.model_validate_json(line)
"""


@pytest.fixture
def requests(tmp_path: Path) -> Path:
    """Write all reported cases, broken as they are, as a file of `vllm run-batch`."""
    lines = []
    for case in CASES:
        body = {"model": MODEL, "messages": case.messages, "max_tokens": 8}
        if case.tools:
            body |= {"tools": case.tools, "tool_choice": "none"}
        line = {"custom_id": case.name, "method": "POST", "url": "/v1/chat/completions"}
        lines.append({**line, "body": body})
    return written(tmp_path / "requests.jsonl", lines)


def test_broken_conversations_are_answered_by_a_real_vllm(
    vllm_url: str, requests: Path, tmp_path: Path
) -> None:
    """Every reported case, straight to it, in the form that vLLM's own batches have."""
    out = tmp_path / "answers.jsonl"
    result = role_guard("batch", requests, out, "--backend", vllm_url, "--max-concurrent", 16)
    sums = summary(result)
    assert (result.exit_code, sums["failed"]) == (0, 0), result.stderr
    assert sums["repaired"] > 20
    assert [line["custom_id"] for line in read(out)] == [case.name for case in CASES]
    assert sums["completion_tokens"] > 0
    judged = subprocess.run(
        [PYTHON, "-c", JUDGE, requests, out], capture_output=True, text=True, check=False
    )
    assert judged.returncode == 0, judged.stderr[-2000:]


def test_what_does_not_fit_is_said_in_the_words_of_the_docs(vllm_url: str, tmp_path: Path) -> None:
    """A `max_tokens` beyond the context is final, and its words are those of docs/batch.md."""
    file = written(tmp_path / "in.jsonl", [{"prompt": "hi", "max_tokens": 5000}])
    out = tmp_path / "out.jsonl"
    result = role_guard("batch", file, out, "--backend", vllm_url)
    assert result.exit_code == 1
    (line,) = read(out)
    assert line["error"]["code"] == "400"
    assert "max_tokens=5000 cannot be greater than max_model_len=4096" in line["error"]["message"]
