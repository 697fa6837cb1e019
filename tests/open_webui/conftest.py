"""One Open WebUI, whose models are behind a proxy with the guard and one without."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, ViewportSize

from testing.agents.trap import Trap, trap
from testing.agents.world import ScriptedBackend, World, world
from testing.chromium import TIMEOUT_MS, chromium
from testing.open_webui import Chat, NewChat, open_webui

MODEL = "gemma-3"
VIEW = ViewportSize(width=1180, height=900)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Run Debian's Chromium."""
    with chromium() as running:
        yield running


@pytest.fixture(scope="session")
def the_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Run the backend and the proxies."""
    with world(tmp_path_factory.mktemp("world"), [MODEL], asks_messages=False) as running:
        yield running


@pytest.fixture(scope="session")
def the_trap() -> Iterator[Trap]:
    """Catch what Open WebUI asks of other machines."""
    with trap() as running:
        yield running


@pytest.fixture(scope="session")
def server(
    the_world: World, the_trap: Trap, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Run Open WebUI; give its address."""
    proxies = {"guarded": the_world.guarded.url, "bare": the_world.bare.url}
    folder = tmp_path_factory.mktemp("open-webui")
    with open_webui(proxies, folder, the_trap.environment()) as url:
        yield url


@pytest.fixture
def backend(the_world: World) -> Iterator[ScriptedBackend]:
    """Give the backend with no fault, now and after the test, and nothing received."""
    backend = the_world.backends[MODEL]
    backend.forget()
    for recorder in (the_world.guarded, the_world.bare):
        recorder.take()
    yield backend
    backend.fail(None)


@pytest.fixture
def new_chat(browser: Browser, server: str, backend: ScriptedBackend) -> Iterator[NewChat]:
    """Give a function that begins a chat, with the guard or without."""
    context = browser.new_context(viewport=VIEW)
    context.set_default_timeout(TIMEOUT_MS)

    def begin(*, guarded: bool) -> Chat:
        return Chat(context.new_page(), server, f"{'guarded' if guarded else 'bare'}.{MODEL}")

    yield begin
    context.close()
