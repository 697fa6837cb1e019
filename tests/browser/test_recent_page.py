"""`/role_guard` in a real browser: for whoever is logged in to LiteLLM's UI as an admin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, expect

from testing.chromium import TIMEOUT_MS
from testing.failing_backend import FailingBackend
from testing.playground import GUARDED, MASTER_KEY
from testing.proxied import RUN

TEXT = "a text that nobody may see"
PHONE = ViewportSize(width=390, height=844)


def repair_one(url: str) -> None:
    """Have a conversation repaired, with a text that the page must not show."""
    response = httpx.post(
        f"{url}/v1/chat/completions",
        json={"model": GUARDED.group, "messages": [*RUN, {"role": "user", "content": TEXT}]},
        headers={"Authorization": f"Bearer {MASTER_KEY}"},
        timeout=60,
    )
    assert response.headers["x-role-guard"] == "merged=1"


@pytest.fixture
def page(contexts: Mapping[bool, BrowserContext]) -> Iterator[Page]:
    """Give a tab of a browser in which an admin is logged in to LiteLLM's UI."""
    page = contexts[True].new_page()
    yield page
    page.close()


def test_the_page_shows_repairs_as_they_come(
    page: Page, proxies: Mapping[bool, str], backend: FailingBackend
) -> None:
    """Who is logged in sees the last repairs without a key, and new ones without reloading."""
    repair_one(proxies[True])
    page.goto(f"{proxies[True]}/role_guard")
    expect(page.get_by_role("status")).to_contain_text("1 process of the proxy")
    rows = page.locator("#recent tbody tr")
    first = rows.first
    expect(first).to_contain_text(GUARDED.group)
    expect(first).to_contain_text("merged 1")
    expect(first).to_contain_text("user, assistant, user x3")
    shown = rows.count()
    repair_one(proxies[True])
    expect(rows).to_have_count(shown + 1)
    expect(page.locator("#groups tbody")).to_contain_text(GUARDED.group)
    expect(page.locator("#profiles tbody tr").first).to_contain_text("backend")
    assert TEXT not in page.content()
    assert MASTER_KEY not in page.content()


def test_the_page_can_be_read_on_a_phone(
    page: Page, proxies: Mapping[bool, str], backend: FailingBackend
) -> None:
    """On a small screen nothing stands beside it, and each value has its name."""
    repair_one(proxies[True])
    page.set_viewport_size(PHONE)
    page.goto(f"{proxies[True]}/role_guard")
    expect(page.locator("#recent tbody tr").first).to_contain_text(GUARDED.group)
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= PHONE["width"]
    names = page.locator("#recent tbody tr").first.locator("td")
    assert names.first.get_attribute("data-name") == "time"
    assert names.first.evaluate("cell => getComputedStyle(cell, '::before').content") != "none"


def test_who_is_not_logged_in_is_asked_for_a_key(
    browser: Browser, proxies: Mapping[bool, str], backend: FailingBackend
) -> None:
    """Nothing is shown without an admin's key; one that is typed in stays in the tab."""
    repair_one(proxies[True])
    context = browser.new_context()
    context.set_default_timeout(TIMEOUT_MS)
    page = context.new_page()
    page.goto(f"{proxies[True]}/role_guard")
    expect(page.get_by_role("status")).to_contain_text("Only a proxy admin's key")
    expect(page.locator("#recent tbody tr")).to_have_count(0)
    page.get_by_label("API key").fill(MASTER_KEY)
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#recent tbody tr").first).to_contain_text(GUARDED.group)
    expect(page.get_by_label("API key")).to_be_hidden()
    context.close()
