"""All targets of docs/benchmarks.md in one table, at its top.

python -m benchmarks.summary
"""

from __future__ import annotations

from scripts.docs.felt_table import felt_table

from .page import BENCHMARKS, TARGETS, table, write


def main() -> None:
    """Collect what the sections' own tables say."""
    head = table(TARGETS, []).splitlines()
    rows: list[str] = []
    section = BENCHMARKS.read_text().partition("<!-- summary: end -->")[2].splitlines()
    for at, line in enumerate(section):
        if line != head[0]:
            continue
        for row in section[at + len(head) :]:
            if not row.startswith("|"):
                break
            rows.append(row)
    text = "\n".join([*head, *rows])
    write("summary", text, BENCHMARKS)
    write("felt", felt_table(), BENCHMARKS)
    print(text)


if __name__ == "__main__":
    main()
