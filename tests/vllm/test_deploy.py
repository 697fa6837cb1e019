"""The flags of deploy/ and docs/deploy.md, put to vLLM's own argument parser."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from testing.deployment_files import COMPOSE_FILES, MODEL, vllm_commands
from testing.documents import blocks
from testing.vllm import PYTHON, SCRIPTS

PAGE = Path(__file__).parents[2] / "docs" / "deploy.md"
INSTEAD = ("--structured-outputs-config={}", "--runner=generate", "--enable-log-requests")
_OLD_FLAG = re.compile(r"^\| `(--[^`]+)` \| (gone|default|harmful) \|", re.MULTILINE)


def faults(commands: Sequence[Sequence[str]]) -> list[str | None]:
    """Give what `vllm serve` says against each command line before it loads anything."""
    parsed = subprocess.run(
        [PYTHON, SCRIPTS / "parse_flags.py"],
        input=json.dumps(commands),
        env={**os.environ, "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    said: list[str | None] = json.loads(parsed.stdout.splitlines()[-1])
    return said


def test_vllm_takes_the_flags_of_the_compose_files(gemma_3: Path) -> None:
    """Each vLLM's command is complete, with some template where the relaxed one is mounted."""
    commands = [
        [part.replace("/etc/vllm/relaxed.jinja", str(gemma_3)) for part in command]
        for path in COMPOSE_FILES
        for command in vllm_commands(path).values()
    ]
    assert len(commands) == 4
    assert faults(commands) == [None] * len(commands)


def shown_commands() -> list[list[str]]:
    """Give each `vllm serve` that README and docs show, and what they give vLLM's image to run."""
    commands = []
    for block in blocks():
        lines = block.text.replace("\\\n", " ").splitlines() if block.language == "sh" else []
        for line in lines:
            if line.startswith("vllm serve"):
                commands.append(shlex.split(line, comments=True))
            elif "vllm-openai:" in line:
                arguments = line.partition("vllm-openai:")[2].split(maxsplit=1)[1]
                commands.append(["vllm", "serve", *shlex.split(arguments)])
    return commands


def test_vllm_takes_the_flags_of_the_docs(gemma_3: Path) -> None:
    """Each command that a page shows can be copied, with some template as the relaxed one."""
    commands = [
        [str(gemma_3) if part.endswith("relaxed.jinja") else part for part in command]
        for command in shown_commands()
    ]
    assert len(commands) >= 4
    said = faults(commands)
    assert {" ".join(c): f for c, f in zip(commands, said, strict=True) if f is not None} == {}


def test_the_page_tells_which_old_flags_are_gone() -> None:
    """Those that it calls gone are refused; all the others, and what it gives instead, are not."""
    page = PAGE.read_text()
    told = _OLD_FLAG.findall(page)
    assert {state for _, state in told} == {"gone", "default", "harmful"}
    assert all(flag.partition("=")[0] in page for flag in INSTEAD)
    gone = {flag for flag, state in told if state == "gone"}
    flags = [*(flag for flag, _ in told), *INSTEAD]
    verdicts = faults([["vllm", "serve", MODEL, *shlex.split(flag)] for flag in flags])
    refused = {flag for flag, fault in zip(flags, verdicts, strict=True) if fault}
    assert refused == gone
