"""What `make lint` holds every file to, beside ruff, mypy and import-linter.

A file has at most `MOST_LINES` lines. A docstring of the package opens with what the thing does or
returns, and with none of `OPENERS`, which say nothing or need a second reading. On a page of README
and docs every link leads somewhere, and a mark before each shell block says whether a test runs it.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from testing import documents

MOST_LINES = 400
OPENERS = re.compile(r"(Give|Gives|Tell|Tells|Take note)\b")
PHRASES = re.compile(r"\b(is told|are told|whence|at a glance)\b", re.IGNORECASE)
PACKAGE = "litellm_role_guard/"


def faults(path: str) -> Iterator[str]:
    """Yield what is wrong with a file, a line each."""
    text = Path(path).read_text(encoding="utf-8")
    lines = text.count("\n")
    if lines > MOST_LINES:
        yield f"{path}: {lines} lines, at most {MOST_LINES} are read at one sitting"
    if path.startswith(PACKAGE):
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Constant):
                continue
            docstring = str(node.value.value)
            if opener := OPENERS.match(docstring):
                yield f"{path}:{node.lineno}: opens with {opener[0]!r}"
            if found := PHRASES.search(docstring):
                yield f"{path}:{node.lineno}: says {found[0]!r}"


def main() -> int:
    """Print all faults; the exit code is 1 where there are any."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"],
        capture_output=True,
        text=True,
        check=True,
    )
    found = [
        fault for path in listed.stdout.split() if Path(path).is_file() for fault in faults(path)
    ]
    found += documents.faults()
    print("\n".join(found) or "files: all at most 400 lines, no docstring opens oddly")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
