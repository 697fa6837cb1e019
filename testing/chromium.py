"""Debian's Chromium, driven by Playwright, which reaches nothing but this machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, expect, sync_playwright

TIMEOUT_MS = 20_000
"""How long anything that a page is to show is waited for."""

_CHROMIUM = os.environ.get("ROLE_GUARD_CHROMIUM", "/usr/bin/chromium")
# Without these it looks for Google's servers at every start, which a closed network refuses.
_OFFLINE = (
    "--no-sandbox",  # which root needs
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run it until the block is left.

    Raises:
        FileNotFoundError: It is not installed.
    """
    if shutil.which(_CHROMIUM) is None:
        raise FileNotFoundError(f"no Chromium at {_CHROMIUM}; `make test-browser` installs it")
    expect.set_options(timeout=TIMEOUT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=list(_OFFLINE))
        yield browser
        browser.close()
