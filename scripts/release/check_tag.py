"""Whether a tag may become a release: `python scripts/release/check_tag.py v1.2.3 URL`.

It uses nothing but Python, since it runs before anything is installed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def faults(tag: str, address: str, folder: Path = REPOSITORY) -> Iterator[str]:
    """Yield why not, a line each.

    Args:
        tag: The tag, such as `v1.2.3`.
        address: The repository's address on the web.
        folder: The repository.
    """
    project = (folder / "pyproject.toml").read_text(encoding="utf-8")
    version = re.findall(r'^version = "(.*)"$', project, re.MULTILINE)
    if version != [tag.removeprefix("v")]:
        yield f"the tag is {tag}, and the version in pyproject.toml {', '.join(version)}"
    home = re.findall(r'^Repository = "(.*)"$', project, re.MULTILINE)
    if home != [address]:
        yield f"this is {address}, and Repository in pyproject.toml {', '.join(home)}"
    changes = (folder / "CHANGELOG.md").read_text(encoding="utf-8")
    if not re.search(rf"^## \[?{re.escape(tag.removeprefix('v'))}\b", changes, re.MULTILINE):
        yield f"CHANGELOG.md has no section for {tag.removeprefix('v')}"


if __name__ == "__main__":
    sys.exit("\n".join(faults(sys.argv[1], sys.argv[2])))
