"""The README's screenshots: the Playground after a stopped answer, without the guard and with it.

`make screenshots` writes them into docs/images; its name keeps pytest from running it otherwise.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import FloatRect, ViewportSize, expect

from testing.playground import (
    ENDPOINTS,
    GUARDED,
    NEXT,
    UNGUARDED,
    FailingBackend,
    Open,
    Playground,
    Target,
    begin,
    stop,
)

IMAGES = Path(__file__).parents[2] / "docs" / "images"
VIEW = ViewportSize(width=1110, height=1300)  # room for the whole chat
MARGIN = 16
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


def _around(playground: Playground) -> FloatRect:
    boxes = [bubble.bounding_box() for bubble in playground.bubbles.all()]
    shown = [box for box in boxes if box is not None]
    left = min(box["x"] for box in shown) - MARGIN
    top = min(box["y"] for box in shown) - MARGIN
    right = max(box["x"] + box["width"] for box in shown) + MARGIN
    bottom = max(box["y"] + box["height"] for box in shown) + MARGIN
    return FloatRect(x=left, y=top, width=right - left, height=bottom - top)
