"""Files for batches, and `role-guard batch` over them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from litellm_role_guard.cli.main import main


def role_guard(command: str, *arguments: object, stdin: str | bytes | None = None) -> Result:
    """Run a command in this process; give what it printed and its exit code."""
    return CliRunner().invoke(
        main, [command, *map(str, arguments)], input=stdin, catch_exceptions=False
    )


def written(path: Path, lines: Iterable[Any]) -> Path:
    """Write values as JSON Lines; give the path."""
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def prompts(path: Path, count: int) -> Path:
    """Write prompts that tell their number."""
    return written(path, ({"prompt": f"question {number}"} for number in range(count)))


def read(path: Path) -> list[Any]:
    """Give the lines of an output."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def answers(path: Path) -> list[str]:
    """Give the texts of an output's answers."""
    return [line["response"]["body"]["choices"][0]["message"]["content"] for line in read(path)]


def summary(result: Result) -> dict[str, Any]:
    """Give the sums that a batch printed."""
    told: dict[str, Any] = json.loads(result.stderr.splitlines()[-1])["summary"]
    return told
