"""README and docs: their links lead somewhere, and what is made from the code is current."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import pytest
import yaml

from litellm_role_guard import Change
from litellm_role_guard.config.settings import (
    KEY,
    DeploymentSettings,
    GuardSettings,
    read_settings,
)
from scripts.docs import felt_table, repair_examples
from testing.documents import PAGES, Block, blocks, faults, links, slug
from testing.pages import read_section
from testing.processes import REPOSITORY
from testing.templates import STRICT

BLOCKS = list(blocks())


def of_language(language: str) -> pytest.MarkDecorator:
    """Give a parametrisation over the blocks of a language."""
    found = [block for block in BLOCKS if block.language == language]
    return pytest.mark.parametrize("block", found, ids=lambda block: block.name)


def test_every_link_leads_somewhere_and_every_block_says_whether_it_is_run() -> None:
    """To a file and a heading that are there; `make lint` says the same."""
    assert list(faults()) == []


def test_every_page_is_found() -> None:
    """Some other page links to it."""
    pages = {page for page in PAGES if page.parent.name == "docs"}
    linked = {
        (page.parent / link.partition("#")[0]).resolve() for page in PAGES for link in links(page)
    }
    assert {page.name for page in pages - linked} == set()


def test_anchors_are_made_as_github_makes_them() -> None:
    """Small letters, without signs, blanks as hyphens."""
    assert slug("Where do I change ...?") == "where-do-i-change-"
    assert slug("The guard's own `400`s") == "the-guards-own-400s"
    assert slug("[/v1/responses](x.md), again") == "v1responses-again"


@of_language("yaml")
def test_every_config_has_settings_that_the_guard_takes(block: Block) -> None:
    """As at the proxy's start: no unknown key, no value that cannot be used."""
    config = yaml.safe_load(block.text)
    for path, own in _settings_in(config):
        model = GuardSettings if path == f"callback_settings.{KEY}" else DeploymentSettings
        read_settings(own, path, model)
    callbacks = (config.get("litellm_settings") or {}).get("callbacks", [])
    assert all(each in ("litellm_role_guard.role_guard", "prometheus") for each in callbacks)


def _settings_in(config: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    yield f"callback_settings.{KEY}", (config.get("callback_settings") or {}).get(KEY)
    for entry in config.get("model_list", []):
        yield f"model_info.{KEY}", (entry.get("model_info") or {}).get(KEY)


@of_language("json")
def test_every_piece_of_json_is_json(block: Block) -> None:
    """A client's config file can be copied."""
    assert json.loads(block.text)


@of_language("toml")
def test_every_piece_of_toml_is_toml(block: Block) -> None:
    """A client's config file can be copied."""
    tomllib = pytest.importorskip("tomllib")  # not in Python 3.10
    assert tomllib.loads(block.text)


def run_python(block: Block) -> dict[str, Any]:
    """Run an example with a template of the repository in place of a model's; give its names."""
    names: dict[str, Any] = {}
    exec(block.text.replace("/models/gemma-3", str(STRICT)), names)
    return names


WITHOUT_LITELLM, WITH_LITELLM = [
    block for block in BLOCKS if block.language == "python" and block.page.name == "python.md"
]


def test_the_python_example_repairs() -> None:
    """Two user turns become one."""
    assert len(run_python(WITHOUT_LITELLM)["repaired"].messages) == 1


@pytest.mark.slow
def test_the_python_example_puts_the_guard_into_litellm(monkeypatch: pytest.MonkeyPatch) -> None:
    """LiteLLM takes seconds to import."""
    import litellm

    monkeypatch.setattr(litellm, "callbacks", [])
    names = run_python(WITH_LITELLM)
    assert names["litellm"].callbacks[0].__class__.__name__ == "RoleGuard"


@pytest.mark.parametrize("example", repair_examples.EXAMPLES, ids=lambda example: example.title)
def test_the_examples_of_repairs_are_what_the_guard_does(example: repair_examples.Example) -> None:
    """`python -m scripts.docs` writes them anew."""
    page = read_section("examples", repair_examples.PAGE)
    assert repair_examples.shown(example).strip() in page


def test_what_a_user_feels_is_what_was_measured() -> None:
    """`python -m scripts.docs` writes the table anew after a run."""
    assert read_section("felt", felt_table.PAGE).strip() == felt_table.felt_table()


FIGURES = [
    (r"answers (0\.\d+ ± 0\.\d+) times", "benchmarks.md", r"that without the guard \|.*\| {} \|"),
    (r"of broken ones, (0\.\d+ ± 0\.\d+)", "benchmarks.md", r"as a ratio \|.*\| {} \|"),
    (r"On (\d+) real templates", "shapes.md", r"on the {} chat templates"),
    (r"and (\d+) conversations such as these", "shapes.md", r"\n\n{} conversations of"),
    (r"none of the ([\d,]+) do", "shapes.md", r"this guard \| 0\.0 \(0\) \| .* 100\.0 \({}\) \|\n"),
]


@pytest.mark.parametrize(("said", "page", "measured"), FIGURES)
def test_a_figure_of_the_readme_is_that_of_the_run_that_measured_it(
    said: str, page: str, measured: str
) -> None:
    """The page that a benchmark has written holds it."""
    (figure,) = re.findall(said, (REPOSITORY / "README.md").read_text())
    pattern = measured.format(re.escape(figure.replace(",", "")))
    assert re.search(pattern, (REPOSITORY / "docs" / page).read_text())


def test_the_share_that_the_readme_names_is_measured() -> None:
    """What is refused and what is lost, of all pairs, in whole percent."""
    row = re.search(
        r"^\| none \| [\d.]+ \((\d+)\) \| [\d.]+ \((\d+)\)",
        (REPOSITORY / "docs" / "shapes.md").read_text(),
        re.MULTILINE,
    )
    readme = (REPOSITORY / "README.md").read_text()
    pairs = int(re.findall(r"none of the ([\d,]+) do", readme)[0].replace(",", ""))
    assert row is not None
    share = round(100 * (int(row[1]) + int(row[2])) / pairs)
    assert f"{share}% of all pairs are refused or lose text" in readme


def test_the_readme_is_short_and_begins_with_two_commands() -> None:
    """A screen that cures, in some 700 words; the first two commands need nothing but Python."""
    text = (REPOSITORY / "README.md").read_text()
    assert len(text.split()) < 900
    commands = [block for block in BLOCKS if block.page.name == "README.md"]
    first = next(block for block in commands if block.language == "sh")
    assert [line.split("#")[0].strip() for line in first.text.splitlines()] == [
        "make demo",
        "make test",
    ]


def test_the_readme_names_the_version_that_is_here() -> None:
    """The start line holds it."""
    text = (REPOSITORY / "README.md").read_text()
    assert f"role guard {version('litellm-role-guard')}: mode repair" in text


def test_every_word_of_the_header_is_explained() -> None:
    """docs/operate.md has each kind of change, as the code lists them, and what a report adds."""
    page = (REPOSITORY / "docs" / "operate.md").read_text()
    glossary = page.partition("## The header's words")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`.+?) \|", glossary, re.MULTILINE)
    explained = {word for cell in cells for word in re.findall(r"`(\w+)`", cell)}
    listed = (Change.__doc__ or "").partition("what: ")[2].partition("messages: ")[0]
    assert set(re.findall(r"`(\w+)`", listed)) <= explained
    source = (REPOSITORY / "litellm_role_guard" / "observability" / "report.py").read_text()
    assert set(re.findall(r'"(\w+)=(?:1|\{)', source)) - {"name"} <= explained
