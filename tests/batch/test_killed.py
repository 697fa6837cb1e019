"""A batch that is killed at any moment, and started again with the same command."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from testing.batches import answers, prompts, read
from testing.flaky import MODEL, Flaky, flaky
from testing.processes import launch

LINES = 600
KILLS = 20
CONCURRENT = 20


def begin(folder: Path, backend: Flaky) -> subprocess.Popen[bytes]:
    """Start the command in a process of its own."""
    main = "from litellm_role_guard.cli import main; main()"
    command = [sys.executable, "-c", main, "batch", "in.jsonl", "out.jsonl"]
    command += ["--proxy", backend.url, "--model", MODEL, "--max-concurrent", str(CONCURRENT)]
    return launch(command, folder, folder / "log")


def ended(process: subprocess.Popen[bytes], number: int) -> int:
    """Signal a process, and give its exit code."""
    process.send_signal(number)
    return process.wait(30)


@pytest.mark.slow
def test_killed_twenty_times_every_line_is_answered_once(tmp_path: Path) -> None:
    """In order, and none is asked again whose answer was written down."""
    draw = random.Random(15)
    prompts(tmp_path / "in.jsonl", LINES)
    journal = tmp_path / "out.jsonl.journal"
    kills = 0
    with flaky(seconds=0.12) as backend:
        while kills < KILLS:
            before = journal.stat().st_size if journal.exists() else -1
            process = begin(tmp_path, backend)
            while not journal.exists() or journal.stat().st_size == before:
                assert process.poll() is None, (tmp_path / "log").read_text()
                time.sleep(0.005)  # not before it works again
            time.sleep(draw.random() * 0.15)
            assert ended(process, signal.SIGKILL) == -signal.SIGKILL
            kills += 1
        assert journal.read_bytes().count(b"\n") < LINES
        assert begin(tmp_path, backend).wait(60) == 0
    assert [line["custom_id"] for line in read(tmp_path / "out.jsonl")] == [
        f"request-{number}" for number in range(1, LINES + 1)
    ]
    assert all(f'"question {n}"' in text for n, text in enumerate(answers(tmp_path / "out.jsonl")))
    again = sum(backend.asked.values()) - LINES
    assert again <= KILLS * CONCURRENT  # those that were under way


@pytest.mark.slow
def test_ctrl_c_waits_for_what_is_under_way_and_twice_does_not(tmp_path: Path) -> None:
    """Each answer on its way is kept; the second one ends it at once."""
    prompts(tmp_path / "in.jsonl", LINES)
    with flaky(seconds=0.3) as backend:
        process = begin(tmp_path, backend)
        while len(backend.in_flight) < CONCURRENT:
            time.sleep(0.005)
        assert ended(process, signal.SIGINT) == 130
        asked = sum(backend.asked.values())
        assert '"ending": "drained"' in (tmp_path / "log").read_text()
        assert len(read(tmp_path / "out.jsonl")) == asked == sum(backend.answered.values())
    with flaky({"hang": 1.0}) as silent:
        process = begin(tmp_path, silent)
        while len(silent.in_flight) < CONCURRENT:
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        assert process.poll() is None
        assert ended(process, signal.SIGINT) == 130
    assert len(read(tmp_path / "out.jsonl")) == asked
