"""The parts of the repository that use each other, and those that do not."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from testing.processes import REPOSITORY

PARTS = ("testing", "tests", "benchmarks", "demo", "scripts")
MAX_LINES = 400

# What each part must not import. What two of them need belongs in `testing`.
FORBIDDEN = {
    "testing": ("tests", "benchmarks", "demo"),
    "tests": ("benchmarks", "demo"),
    "benchmarks": ("tests", "demo"),
    "demo": ("tests", "benchmarks"),
}


def files(part: str) -> list[Path]:
    """Give the Python files of a part."""
    return sorted((REPOSITORY / part).rglob("*.py"))


def imported(file: Path) -> Iterator[str]:
    """Give the full name of each module, and of each thing in one, that a file imports."""
    package = file.relative_to(REPOSITORY).parts[:-1]
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("part", FORBIDDEN)
def test_each_part_imports_testing_and_the_package_alone(part: str) -> None:
    """Tests, benchmarks and demo import neither one another, nor does `testing` import them."""
    assert files(part)
    found = [
        f"{file.relative_to(REPOSITORY)} imports {name}"
        for file in files(part)
        for name in imported(file)
        if name.partition(".")[0] in FORBIDDEN[part]
    ]
    assert found == []


def test_no_test_imports_another_test() -> None:
    """What two tests share stands in `testing`, not in a test or a conftest."""
    found = [
        f"{file.relative_to(REPOSITORY)} imports {name}"
        for file in files("tests")
        for name in imported(file)
        if name.partition(".")[0] == "tests"
    ]
    assert found == []


def test_every_file_can_be_read_at_once() -> None:
    """No Python file beside the package is longer than 400 lines."""
    long = {
        str(file.relative_to(REPOSITORY)): lines
        for part in PARTS
        for file in files(part)
        if (lines := len(file.read_text().splitlines())) > MAX_LINES
    }
    assert long == {}


def test_every_folder_of_tests_is_a_package() -> None:
    """Two folders may have tests of the same name."""
    folders = {file.parent for file in files("tests")}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


def asserts(function: ast.AST) -> bool:
    """Tell whether a function asserts something itself, or calls what is named for asserting."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func).rpartition(".")[2]
            if called.lstrip("_").startswith("assert") or called in ("raises", "fail", "expect"):
                return True
    return False


def test_every_test_asserts_something() -> None:
    """A test without an assertion proves only that nothing is raised."""
    silent = [
        f"{file.relative_to(REPOSITORY)}: {node.name}"
        for file in files("tests")
        if file.name.startswith("test_")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and node.name.startswith("test_")
        and not asserts(node)
    ]
    assert silent == []


def test_the_litellms_of_the_matrix_are_those_that_the_package_asks_for() -> None:
    """The oldest is the lower bound, and the newest of the last release below the upper one."""
    text = (REPOSITORY / "pyproject.toml").read_text()
    lowest = re.search(r'"litellm>=([\d.]+),', text)
    bound = re.search(r'tested = \["litellm<(\d+)\.(\d+)"\]', text)
    tried = re.search(r"LITELLM = \((.*)\)", (REPOSITORY / "noxfile.py").read_text())
    assert lowest is not None
    assert bound is not None
    assert tried is not None
    versions = [each.strip(' "') for each in tried[1].split(",")]
    assert versions[0] == f"{lowest[1]}.0"
    assert versions[-1].startswith(f"{bound[1]}.{int(bound[2]) - 1}.")
    workflow = yaml.safe_load((REPOSITORY / ".github/workflows/ci.yml").read_text())
    matrix = workflow["jobs"]["litellm"]["strategy"]["matrix"]["litellm"]
    assert matrix == [*versions, "newest"]
