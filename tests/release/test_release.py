"""A release: its tag, its version, its workflows and its images."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from litellm_role_guard.cli import main
from scripts.docs.site import project_urls
from scripts.release.check_tag import faults
from scripts.release.check_wheel import extras, readme_config
from testing.processes import REPOSITORY

WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))
HOME = "https://github.com/somebody/guard"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Give a repository whose next release is 1.2.3."""
    (tmp_path / "pyproject.toml").write_text(f'version = "1.2.3"\nRepository = "{HOME}"\n')
    (tmp_path / "CHANGELOG.md").write_text(
        "# Changelog\n\n## Unreleased\n\n## 1.2.3 - 2026-11-26\n"
    )
    return tmp_path


def test_a_tag_that_fits_becomes_a_release(repository: Path) -> None:
    """Version, address and changelog say the same."""
    assert list(faults("v1.2.3", HOME, repository)) == []


@pytest.mark.parametrize(
    ("tag", "address", "named"),
    [("v1.2.4", HOME, "1.2.4"), ("v1.2.3", "https://github.com/other/fork", "other/fork")],
)
def test_a_tag_that_does_not_fit_is_refused(
    repository: Path, tag: str, address: str, named: str
) -> None:
    """Another version, or another repository, publishes nothing."""
    assert any(named in fault for fault in faults(tag, address, repository))


def test_a_version_without_its_changes_is_refused(repository: Path) -> None:
    """The changelog has a section for each release."""
    (repository / "CHANGELOG.md").write_text("# Changelog\n\n## Unreleased\n")
    assert list(faults("v1.2.3", HOME, repository)) == ["CHANGELOG.md has no section for 1.2.3"]


def test_the_script_ends_with_1_where_something_is_wrong() -> None:
    """The workflow stops there."""
    command = [sys.executable, "scripts/release/check_tag.py", "v0.0.0", HOME]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "the tag is v0.0.0" in done.stderr


def test_the_command_tells_its_version() -> None:
    """`role-guard --version`, from the one place that has it."""
    done = CliRunner().invoke(main, ["--version"])
    assert done.output == f"litellm-role-guard {version('litellm-role-guard')}\n"
    written = re.findall(r'^version = "(.*)"$', _project(), re.MULTILINE)
    assert written == [version("litellm-role-guard")]


def test_what_the_check_of_the_wheel_reads_is_there() -> None:
    """The README's whole config, and every extra."""
    assert yaml.safe_load(readme_config())["model_list"][0]["model_name"] == "gemma3"
    assert {"proxy", "dev", "docs", "parquet", "release"} <= set(extras())


def test_the_project_says_where_it_is() -> None:
    """Each address begins with the repository's or the site's."""
    urls = project_urls()
    assert {"Repository", "Documentation", "Changelog", "Issues"} <= set(urls)
    assert urls["Changelog"].startswith(urls["Repository"])


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("github-workflows", "workflows/*.yml"),
        pytest.param("github-issue-forms", "ISSUE_TEMPLATE/*.yml", marks=pytest.mark.slow),
        pytest.param("dependabot", "dependabot.yml", marks=pytest.mark.slow),
    ],
)
def test_the_files_for_github_fit_their_schemas(schema: str, files: str) -> None:
    """As check-jsonschema ships them; all of a kind at once, since it takes seconds to start."""
    found = sorted(map(str, (REPOSITORY / ".github").glob(files)))
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}"]
    command += found
    assert found
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_runs_only_what_is_here(path: Path) -> None:
    """Its make targets and scripts exist, and it may write nothing unless a job says so."""
    workflow: dict[str, Any] = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    for job in workflow["jobs"].values():
        for step in job["steps"]:
            for words in map(shlex.split, step.get("run", "").splitlines()):
                if words[:1] == ["make"] and not words[1].startswith(".venv"):
                    assert words[1] in targets
                for word in words:
                    if word.startswith(("scripts/", "tests/")):
                        assert (REPOSITORY / word).exists(), word


def test_every_python_that_is_promised_is_tested() -> None:
    """The workflow's versions are those of the classifiers."""
    promised = re.findall(r"Python :: (3\.\d+)", _project())
    workflow = yaml.safe_load((REPOSITORY / ".github" / "workflows" / "ci.yml").read_text())
    assert workflow["jobs"]["tests"]["strategy"]["matrix"]["python"] == promised


@pytest.mark.parametrize("name", ["Dockerfile", "litellm-image.Dockerfile"])
def test_an_image_is_healthy_and_not_root(name: str) -> None:
    """The last user is a number that is not 0, which a cluster can check."""
    text = (REPOSITORY / "deploy" / name).read_text()
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE)[-1].strip("0") != ""
    assert "HEALTHCHECK" in text
    assert "/health/liveliness" in text


def _project() -> str:
    return (REPOSITORY / "pyproject.toml").read_text()


def test_the_readme_on_pypi_leads_to_the_repository() -> None:
    """Its links and pictures have the address of [project.urls], since no file is beside them."""
    base = project_urls()["Repository"]
    raw = base.replace("https://github.com/", "https://raw.githubusercontent.com/")
    replacements = re.findall(r"^replacement = '(.*)'$", _project(), re.MULTILINE)
    assert replacements == [f"![\\1]({raw}/main/\\2)", f"]({base}/blob/main/\\1)"]
    patterns = re.findall(r"^pattern = '(.*)'$", _project(), re.MULTILINE)
    readme = (REPOSITORY / "README.md").read_text()
    for pattern, replacement in zip(patterns, replacements, strict=True):
        readme = re.sub(pattern, replacement, readme)
    assert re.findall(r"\]\((?!https://)[^)]*\)", readme) == []
    assert f"({raw}/main/docs/images/with-guard.png)" in readme
