"""Open WebUI: its real server, in front of LiteLLM proxies, and its page as a person uses it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from playwright.sync_api import Locator, Page, expect

from .agents.program import find_installed
from .processes import free_port, launch, running
from .proxies import MASTER_KEY

NAME = "open-webui"

_SETTINGS = {
    "WEBUI_AUTH": "False",
    "WEBUI_SECRET_KEY": MASTER_KEY,  # or it writes one into its working folder
    "ENABLE_OLLAMA_API": "False",
    "RAG_EMBEDDING_ENGINE": "openai",  # its own would be a model to download
    # Nothing is asked of other machines.
    "OFFLINE_MODE": "True",
    "ENABLE_VERSION_UPDATE_CHECK": "False",
    "ANONYMIZED_TELEMETRY": "False",
    "DO_NOT_TRACK": "true",
    "SCARF_NO_ANALYTICS": "true",
    # These put the chat into one user message each, which any template takes.
    "ENABLE_FOLLOW_UP_GENERATION": "False",
    "ENABLE_TAGS_GENERATION": "False",
    "ENABLE_TITLE_GENERATION": "False",
}


@contextmanager
def open_webui(
    proxies: Mapping[str, str], folder: Path, environment: Mapping[str, str]
) -> Iterator[str]:
    """Run the server until the block is left; give its address.

    Args:
        proxies: The addresses of proxies, by what the page puts in front of their models' names.
        folder: Where its database and its log are put.
        environment: Further variables.
    """
    port, log = free_port(), folder / "open-webui.log"
    names = {str(at): {"enable": True, "prefix_id": name} for at, name in enumerate(proxies)}
    variables = {
        "HOME": str(folder),
        "DATA_DIR": str(folder / "data"),
        "OPENAI_API_BASE_URLS": ";".join(f"{url}/v1" for url in proxies.values()),
        "OPENAI_API_KEYS": ";".join([MASTER_KEY] * len(proxies)),
        "OPENAI_API_CONFIGS": json.dumps(names),
    }
    program = str(find_installed(NAME, "bin/open-webui"))
    command = [program, "serve", "--host", "127.0.0.1", "--port", str(port)]
    process = launch(command, folder, log, {**_SETTINGS, **variables, **environment})
    with running(process, f"http://127.0.0.1:{port}", "/health", log) as url:
        yield url


class Chat:
    """A new chat in a tab.

    Args:
        page: The tab.
        url: The server's address.
        model: The model, as the page names it.
    """

    def __init__(self, page: Page, url: str, model: str) -> None:
        self.page = page
        # What is new in this version is shown once, over everything else.
        news = page.get_by_role("button", name="Okay, Let's Go!")
        page.add_locator_handler(news, lambda button: button.click())
        page.goto(f"{url}/?models={model}")
        self._input.wait_for()

    @property
    def answers(self) -> Locator:
        """What the assistant has said so far, or the error in its place."""
        return self.page.locator("#response-content-container")

    @property
    def last(self) -> Locator:
        """The newest of the answers."""
        return self.answers.last

    def send(self, text: str) -> None:
        """Type a message and send it."""
        self._input.fill(text)
        self.page.locator("#send-message-button").click()

    def ask(self, text: str) -> None:
        """Send a message and wait until the answer to it is over, whatever it was."""
        with self._answered():
            self.send(text)

    def stop(self) -> None:
        """Press the Stop button."""
        self._stop.click()
        expect(self._stop).to_be_hidden()

    def regenerate(self) -> None:
        """Have the last message answered once more."""
        with self._answered():
            self.page.get_by_role("button", name="Regenerate").last.click()
            self.page.get_by_role("button", name="Try Again").click()

    def edit(self, text: str, to: str) -> None:
        """Edit a message that was sent before, and send it, which begins another branch."""
        begins = re.compile(rf"^\s*{re.escape(text)}")
        said = self.page.locator(".user-message").filter(has_text=begins)
        said.hover()
        said.get_by_role("button", name="Edit").click()
        self.page.locator("textarea[id^=message-edit-]").fill(to)
        with self._answered():
            self.page.locator("#confirm-edit-message-button").click()

    @contextmanager
    def _answered(self) -> Iterator[None]:
        """Wait until an answer has come in the place of the last, or behind it, and is over."""
        newest = self.page.locator('[id^="message-"]:has(#response-content-container)').last
        before = newest.get_attribute("id") if self.answers.count() else ""
        yield
        expect(newest).not_to_have_id(before or "")
        expect(self._stop).to_be_hidden()

    @property
    def _input(self) -> Locator:
        return self.page.locator("#chat-input")

    @property
    def _stop(self) -> Locator:
        return self.page.get_by_role("button", name="Stop", exact=True)


class NewChat(Protocol):
    """Begins a chat in a tab of its own."""

    def __call__(self, *, guarded: bool) -> Chat:
        """Begin it with a model behind the guard, or one that is not."""
