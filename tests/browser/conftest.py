"""One Chromium, one strict backend, and in front of it a proxy with the guard and one without."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize

from testing.chromium import TIMEOUT_MS, chromium
from testing.failing_backend import FailingBackend
from testing.playground import (
    CAUTIOUS,
    DROPPING,
    GUARDED,
    INFORMED,
    MASTER_KEY,
    MODEL,
    UNGUARDED,
    Open,
    Playground,
    Target,
    log_in,
)
from testing.processes import proxy, simulator
from testing.proxied import Backend, deployment
from testing.proxies import write_config
from testing.templates import STRICT

VIEW = ViewportSize(width=1180, height=640)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Run Debian's Chromium."""
    with chromium() as running:
        yield running


@pytest.fixture(scope="session")
def strict_backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FailingBackend]:
    """Run a simulated vLLM that refuses turns that do not alternate."""
    with simulator(tmp_path_factory.mktemp("backend"), model=MODEL) as url:
        yield FailingBackend(url)


@pytest.fixture
def backend(strict_backend: FailingBackend) -> Iterator[FailingBackend]:
    """Give the backend with no fault, now and after the test, and nothing received."""
    strict_backend.forget()
    yield strict_backend
    strict_backend.fail(None)


@pytest.fixture(scope="session")
def proxies(
    strict_backend: Backend, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[bool, str]]:
    """Run both proxies; give their addresses by whether the guard is there."""
    guarded = [
        _deployment(GUARDED, strict_backend),
        _deployment(CAUTIOUS, strict_backend, learn=False),
        _deployment(INFORMED, strict_backend, chat_template=str(STRICT)),
        _deployment(DROPPING, strict_backend, error_turns="drop"),
    ]
    with (
        _proxy(
            guarded,
            tmp_path_factory.mktemp("guarded"),
            litellm_settings={"callbacks": ["litellm_role_guard.role_guard"]},
        ) as with_guard,
        _proxy(
            [_deployment(UNGUARDED, strict_backend)], tmp_path_factory.mktemp("bare")
        ) as without,
    ):
        yield {True: with_guard, False: without}


@pytest.fixture(scope="session")
def contexts(
    browser: Browser, proxies: Mapping[bool, str]
) -> Iterator[Mapping[bool, BrowserContext]]:
    """Give a browser context for each proxy; its tabs share the log-in and the cached UI."""
    contexts = {}
    for guarded, url in proxies.items():
        contexts[guarded] = browser.new_context(viewport=VIEW)
        contexts[guarded].set_default_timeout(TIMEOUT_MS)
        log_in(contexts[guarded], url)
    yield contexts
    for context in contexts.values():
        context.close()


@pytest.fixture
def open_playground(
    contexts: Mapping[bool, BrowserContext], proxies: Mapping[bool, str]
) -> Iterator[Open]:
    """Give a function that opens the Playground; the tabs are closed after the test."""
    pages: list[Page] = []

    def open_it(target: Target, endpoint: str, **options: Any) -> Playground:
        page = contexts[target.guarded].new_page()
        pages.append(page)
        return Playground(page, proxies[target.guarded], endpoint, target.group, **options)

    yield open_it
    for page in pages:
        page.close()


def _deployment(target: Target, backend: Backend, **settings: Any) -> dict[str, Any]:
    entry = deployment(target.group, backend, **settings)
    entry["litellm_params"]["max_retries"] = 0  # or a refused connection takes 15 seconds
    return entry


@contextmanager
def _proxy(deployments: list[dict[str, Any]], folder: Path, **settings: Any) -> Iterator[str]:
    config = {
        "model_list": deployments,
        "general_settings": {"master_key": MASTER_KEY},
        "router_settings": {"num_retries": 0, "disable_cooldowns": True},
        **settings,
    }
    # LiteLLM writes its own address into the UI's files, so that each proxy needs some.
    environment = {"LITELLM_UI_PATH": str(folder / "ui")}
    with proxy(write_config(config, folder), folder / "proxy.log", environment) as url:
        yield url
