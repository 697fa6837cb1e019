"""The picture of the architecture is the one that import-linter holds."""

from __future__ import annotations

import re
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

REPOSITORY = Path(__file__).parents[1]
PAGE = (REPOSITORY / "docs" / "architecture.md").read_text()
HOUSE = PAGE.partition("```mermaid")[2].partition("```")[0]


def layers() -> list[list[str]]:
    """Return the layers of the contract, from the top, each with its packages."""
    config = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    contracts = config["tool"]["importlinter"]["contracts"]
    (contract,) = [each for each in contracts if each["id"] == "layers"]
    return [layer.split(" | ") for layer in contract["layers"]]


def test_the_picture_shows_the_layers_in_their_order() -> None:
    """Every package of a layer stands where the contract has it."""
    drawn = re.findall(r"^ +(\w+)$", HOUSE, re.MULTILINE)
    packages = [name for name in drawn if name != "end"]
    assert packages == [name for layer in layers() for name in layer]


def test_the_arrow_passes_all_layers_once() -> None:
    """From the top to the bottom, and nowhere back."""
    (arrow,) = [line.strip() for line in HOUSE.splitlines() if "-->" in line]
    expected = [
        layer[0] if len(layer) == 1 else f"L{at}" for at, layer in enumerate(layers(), start=1)
    ]
    assert arrow.split(" --> ") == expected


def test_every_package_is_described() -> None:
    """Each folder of the package has a row, and each row a folder."""
    folder = REPOSITORY / "litellm_role_guard"
    packages = {path.parent.name for path in folder.glob("*/__init__.py")}
    rows = set(re.findall(r"^\| `(\w+)/` \|", PAGE, re.MULTILINE))
    assert rows == packages == {name for layer in layers() for name in layer}


def test_there_are_at_most_eight_layers() -> None:
    """More than that nobody keeps in mind."""
    assert len(layers()) <= 8


def test_every_file_that_the_page_names_is_there() -> None:
    """A moved file moves on the page, too."""
    named = re.findall(r"\b((?:[a-z_]+/)[a-z_]+\.(?:py|jinja))\b", PAGE)
    missing = {
        name for name in named if not list((REPOSITORY / "litellm_role_guard").glob(f"**/{name}"))
    } - {"tests/test_architecture.py"}
    assert len(named) > 15
    assert not missing
