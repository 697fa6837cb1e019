"""Plots of docs/benchmarks.md, as SVG that is the same for the same figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib

from .page import BENCHMARKS

matplotlib.use("svg")
matplotlib.rcParams.update({"svg.hashsalt": "role-guard", "svg.fonttype": "none"})

from matplotlib import pyplot  # noqa: E402 - the settings above have to be there first
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

IMAGES = BENCHMARKS.parent / "images"

Line = Sequence[tuple[float, float]]
"""Points, x and y."""


def lines(
    name: str,
    series: Mapping[str, Line],
    *,
    x: str,
    y: str,
    log_x: bool = False,
    log_y: bool = False,
) -> str:
    """Draw lines through points; give the Markdown that shows them.

    Args:
        name: What the file is called, `bench-<name>.svg`.
        series: The points of each line, by what it is.
        x: What the x axis shows, with its unit.
        y: What the y axis shows, with its unit.
        log_x: Whether the x axis is logarithmic.
        log_y: Whether the y axis is.
    """
    figure, axes = pyplot.subplots(figsize=(7, 3.6))
    for label, points in series.items():
        axes.plot([at for at, _ in points], [value for _, value in points], "o-", label=label)
    if log_x:
        axes.set_xscale("log")
    if log_y:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    return _saved(figure, axes, name, x, y)


def bars(
    name: str, groups: Mapping[str, Mapping[str, float]], *, y: str, limit: float | None = None
) -> str:
    """Draw groups of bars; give the Markdown that shows them.

    Args:
        name: What the file is called, `bench-<name>.svg`.
        groups: The height of each bar, by its group and what it is.
        y: What the y axis shows, with its unit.
        limit: Where to draw a line across, for a target.
    """
    figure, axes = pyplot.subplots(figsize=(7, 3.6))
    labels = list(dict.fromkeys(label for group in groups.values() for label in group))
    width = 0.8 / len(labels)
    for position, label in enumerate(labels):
        places = [at + position * width for at in range(len(groups))]
        heights = [group.get(label, 0.0) for group in groups.values()]
        axes.bar(places, heights, width, label=label)
    axes.set_xticks([at + width * (len(labels) - 1) / 2 for at in range(len(groups))])
    axes.set_xticklabels(list(groups))
    if limit is not None:
        axes.axhline(limit, color="black", linewidth=0.8, linestyle="--")
    return _saved(figure, axes, name, "", y)


def _saved(figure: Figure, axes: Axes, name: str, x: str, y: str) -> str:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(axis="y", alpha=0.3)
    axes.legend(fontsize="small")
    figure.tight_layout()
    IMAGES.mkdir(exist_ok=True)
    path = IMAGES / f"bench-{name}.svg"
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
    path.write_text("\n".join(line.rstrip() for line in path.read_text().splitlines()) + "\n")
    return f"![{y}](images/{path.name})"
