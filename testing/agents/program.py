"""A real program, run in a home of its own, which can reach nothing but this machine."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

INSTALLED = Path(
    os.environ.get("ROLE_GUARD_AGENTS", Path.home() / ".cache" / "role-guard" / "agents")
)
"""Where scripts/agents/setup.sh puts the programs."""

SECONDS = 60.0
"""How long a program may take for one task; what goes on for ever is ended and fails."""

_KEPT = ("PATH", "LANG", "TMPDIR")


def find_installed(name: str, pattern: str) -> Path:
    """Return the file of an installed program.

    Args:
        name: Its name in scripts/agents/versions.txt.
        pattern: The file's path below its folder, as a glob.

    Raises:
        FileNotFoundError: It is not installed.
    """
    found = sorted((INSTALLED / name).glob(pattern))
    if not found:
        raise FileNotFoundError(f"no {name} in {INSTALLED}: `make test-agents` installs it")
    return found[0]


def version_of(name: str) -> str:
    """Return the version of an installed program, that of its first package."""
    package: str = (INSTALLED / name / ".installed").read_text().split()[0]
    return package.rpartition("@" if "@" in package[1:] else "==")[2]


@dataclass(frozen=True)
class Finished:
    """A program that has run.

    Attributes:
        code: Its exit code.
        shown: What it wrote to its standard output.
        log: What it wrote to its standard error.
    """

    code: int
    shown: str
    log: str


class Program:
    """A program with a home and a working folder of its own.

    Args:
        executable: Its file, and the arguments that it always has.
        folder: Where its home and its working folder are put.
        environment: Its variables, beside `HOME` and the few that every program needs.

    Attributes:
        home: Its home.
        work: Its working folder.
    """

    def __init__(
        self, executable: Sequence[str | Path], folder: Path, environment: Mapping[str, str]
    ) -> None:
        self.home, self.work = folder / "home", folder / "work"
        for each in (self.home, self.work):
            each.mkdir(parents=True)
        # As people use agents; without one OpenCode takes the whole disk for its project.
        subprocess.run(["git", "init", "--quiet"], cwd=self.work, check=True)
        self._executable = list(map(str, executable))
        kept = {key: os.environ[key] for key in _KEPT if key in os.environ}
        self._environment = {**kept, "HOME": str(self.home), **environment}

    def run(self, *arguments: str) -> Finished:
        """Run it and wait until it is over."""
        return finish(self.start(*arguments))

    def start(self, *arguments: str, is_led: bool = False) -> subprocess.Popen[str]:
        """Run it and do not wait for it.

        Args:
            arguments: Its further arguments.
            is_led: Whether it is written to, and read from, while it runs.
        """
        return subprocess.Popen(
            [*self._executable, *arguments],
            cwd=self.work,
            env=self._environment,
            stdin=subprocess.PIPE if is_led else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )


def finish(process: subprocess.Popen[str], stop: signal.Signals | None = None) -> Finished:
    """Wait until a program is over, or end it, with all that it has started.

    Args:
        process: The program.
        stop: What it gets first, as from a person's Ctrl-C.
    """
    if stop is not None:
        process.send_signal(stop)
    try:
        shown, log = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        kill(process)
        shown, log = process.communicate()
    return Finished(process.returncode, shown, log)


def kill(process: subprocess.Popen[str]) -> None:
    """End a program at once, with all that it has started."""
    os.killpg(process.pid, signal.SIGKILL)  # the group that it leads, and no other
