"""The screenshots of README and docs.

`make screenshots` writes them into docs/images; its name keeps pytest from running it otherwise.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, FloatRect, ViewportSize, expect

from testing.dashboard import GRAFANA, QUERIES
from testing.failing_backend import FailingBackend
from testing.operated import operated_proxy, put_under_load
from testing.playground import (
    ENDPOINTS,
    GUARDED,
    NEXT,
    UNGUARDED,
    Open,
    Playground,
    Target,
    begin,
    stop,
)
from testing.prometheus import scraping

IMAGES = Path(__file__).parents[2] / "docs" / "images"
VIEW = ViewportSize(width=1110, height=1300)  # room for the whole chat
MARGIN = 16
GRAPHS = ("Requests by outcome", "Changes by kind", "Refusals by family")
GRAPHS_VIEW = ViewportSize(width=1000, height=900)
NO_BAR = "nav { display: none !important }"  # it would stand in the middle of a long page
LOAD_SECONDS = 60.0
# Toasts and hints are about this proxy's missing database.
CHAT_ONLY = "[data-sonner-toaster] { visibility: hidden !important }"
TO_THE_TOP = """bubble => {
    for (let around = bubble; around; around = around.parentElement) around.scrollTop = 0
}"""


@pytest.mark.parametrize(
    ("target", "name"), [(UNGUARDED, "without-guard"), (GUARDED, "with-guard")]
)
def test_take_a_picture_of_the_chat(
    open_playground: Open, backend: FailingBackend, target: Target, name: str
) -> None:
    """The chat stands in the picture from its first message to its last."""
    playground = open_playground(target, ENDPOINTS[0])
    page = playground.page
    page.set_viewport_size(VIEW)
    begin(playground, backend, stop)
    playground.ask(NEXT)
    expect(playground.bubbles).to_have_count(5)
    playground.bubbles.first.evaluate(TO_THE_TOP)
    page.screenshot(path=IMAGES / f"{name}.png", style=CHAT_ONLY, clip=_around(playground))


def test_take_a_picture_of_the_dashboards_queries(browser: Browser, tmp_path: Path) -> None:
    """In Prometheus' own graphs, after a minute of load on a proxy with two workers."""
    shown: dict[str, str] = {}
    for number, title in enumerate(GRAPHS):
        shown |= {f"g{number}.expr": QUERIES[f"{title} A"], f"g{number}.range_input": "2m"}
        shown |= {f"g{number}.tab": "0", f"g{number}.stacked": "0"}
    with (
        operated_proxy(tmp_path) as proxy,
        scraping(proxy.url, tmp_path, [GRAFANA / "alerts.yaml"]) as prometheus,
    ):
        assert put_under_load(proxy, LOAD_SECONDS) > 50
        page = browser.new_page(viewport=GRAPHS_VIEW)
        page.goto(f"{prometheus.url}/graph?{urlencode(shown)}")
        expect(page.locator(".rickshaw_graph svg")).to_have_count(len(GRAPHS))
        page.screenshot(path=IMAGES / "prometheus.png", full_page=True, style=NO_BAR)


def _around(playground: Playground) -> FloatRect:
    boxes = [bubble.bounding_box() for bubble in playground.bubbles.all()]
    shown = [box for box in boxes if box is not None]
    left = min(box["x"] for box in shown) - MARGIN
    top = min(box["y"] for box in shown) - MARGIN
    right = max(box["x"] + box["width"] for box in shown) + MARGIN
    bottom = max(box["y"] + box["height"] for box in shown) + MARGIN
    return FloatRect(x=left, y=top, width=right - left, height=bottom - top)
