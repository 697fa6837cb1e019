"""Write the tables of docs/versions.md from what `make test-matrix` has kept.

A test that ran several times counts as it did the last time.
"""

from __future__ import annotations

import os
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

HOME = Path(os.environ.get("ROLE_GUARD_MATRIX", Path.home() / ".cache" / "role-guard" / "matrix"))
PAGE = Path(__file__).parent.parent / "docs" / "versions.md"
NAMES = {"litellm": "LiteLLM", "vllm": "vLLM"}
OUTCOMES = ("passed", "failed", "expected to fail", "skipped")


def main() -> None:
    """Put a table of each program between its marks on the page."""
    page = PAGE.read_text(encoding="utf-8")
    for program in NAMES:
        begin, end = f"<!-- {program}: made by make test-matrix -->", f"<!-- /{program} -->"
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(end)
        page = before + "\n".join([begin, *_table(program), end]) + after
    PAGE.write_text(page, encoding="utf-8")
    print(page)


def _table(program: str) -> Iterator[str]:
    results = HOME / "results"
    versions = {path.stem.split("-")[1] for path in results.glob(f"{program}-*.xml")}
    if not versions:
        return
    yield f"| {NAMES[program]} | {' | '.join(OUTCOMES)} | which failed |"
    yield "|---" * (len(OUTCOMES) + 2) + "|"
    for version in sorted(versions, key=lambda each: [int(part) for part in each.split(".")]):
        tests: dict[str, str] = {}
        found = results.glob(f"{program}-{version}*.xml")
        for path in sorted(found, key=lambda each: each.stat().st_mtime):
            tests.update(_outcomes(path))
        counts = Counter(tests.values())
        # A test with many parameters is named once.
        failing = Counter(
            name.partition("[")[0] for name, outcome in tests.items() if outcome == "failed"
        )
        failed = ", ".join(f"`{name}` ({count})" for name, count in failing.items())
        counted = " | ".join(str(counts[outcome]) for outcome in OUTCOMES)
        yield f"| {version} | {counted} | {failed or 'none'} |"


def _outcomes(path: Path) -> Iterator[tuple[str, str]]:
    for case in ElementTree.parse(path).iter("testcase"):
        name = re.sub(r"^tests\.", "", case.get("classname", "")) + "::" + case.get("name", "")
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            yield name, "failed"
        elif skipped is not None:
            is_expected = skipped.get("type") == "pytest.xfail"
            yield name, "expected to fail" if is_expected else "skipped"
        else:
            yield name, "passed"


if __name__ == "__main__":
    main()
