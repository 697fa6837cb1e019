"""The pages that are measured, and the forms of their tables."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from testing.pages import table as table
from testing.pages import write_section

REPOSITORY = Path(__file__).parents[1]
FLEET = REPOSITORY / "docs" / "fleet.md"
BENCHMARKS = REPOSITORY / "docs" / "benchmarks.md"


def write(name: str, text: str, page: Path = FLEET) -> None:
    """Put a text between the marks of a name; see `write_section`."""
    write_section(name, text, page)


@dataclass(frozen=True)
class Target:
    """What a figure is to be, and what it is.

    Attributes:
        what: What was measured.
        wanted: What it is to be, in words.
        measured: What it is, in words.
        met: Whether that is good enough.
    """

    what: str
    wanted: str
    measured: str
    met: bool


TARGETS = ("what", "target", "measured", "")


def targets(rows: Iterable[Target]) -> str:
    """Give the table of targets that a section of docs/benchmarks.md begins with.

    `benchmarks.summary` collects them all.
    """
    return table(
        TARGETS, ((r.what, r.wanted, r.measured, "met" if r.met else "**missed**") for r in rows)
    )


def machine(*packages: str) -> str:
    """Give the machine and the versions that something was measured with, as one line.

    Args:
        packages: The distributions that count.
    """
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    versions = [f"{package} {version(package)}" for package in packages]
    told = [
        f"{os.cpu_count()} cores of {model}",
        f"{platform.system()} {platform.release()}",
        f"Python {platform.python_version()}",
        *versions,
        f"load average before {os.getloadavg()[0]:.1f}",
    ]
    return ", ".join(told) + "."
