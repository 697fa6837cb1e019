"""The Playground of LiteLLM's admin UI, used as a person uses it: open, choose, type, read."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import jwt
from playwright.sync_api import BrowserContext, Locator, Page, TimeoutError, expect

from .failing_backend import FailingBackend

MASTER_KEY = "sk-role-guard-tests-in-a-real-browser"  # of the length that its signatures ask for
ENDPOINTS = ("/v1/chat/completions", "/v1/messages", "/v1/responses")
ERROR = "Error fetching response:"
"""How the Playground begins an error that it shows, and keeps, as the assistant's words."""

_SESSION_SECONDS = 3600
_TRIES, _TRY_MS = 5, 4_000
_LATEST_RELEASE = "*/get/latest_release_info*"  # what the proxy asks the internet for


def log_in(context: BrowserContext, url: str) -> None:
    """Give a browser context the cookie that the admin UI's log-in gives.

    The log-in itself needs a database; the cookie it ends in is signed with the master key
    (LiteLLM `proxy/auth/login_utils.py`).

    Args:
        context: Where to put the cookie.
        url: The address of the proxy.
    """
    session = {
        "user_id": "default_user_id",
        "key": MASTER_KEY,
        "user_email": None,
        "user_role": "proxy_admin",
        "login_method": "username_password",
        "premium_user": False,
        "auth_header_name": "Authorization",
        "disabled_non_admin_personal_key_creation": False,
        "server_root_path": "",
        "password_reset_required": False,
        "exp": int(time.time()) + _SESSION_SECONDS,
    }
    token = jwt.encode(session, MASTER_KEY, algorithm="HS256")
    context.add_cookies([{"name": "token", "value": token, "url": url}])


class Playground:
    """A tab with the Playground in it, which has a chat of its own.

    Args:
        page: An empty tab of a context that is logged in.
        url: The address of the proxy.
        endpoint: The endpoint type to choose, one of `ENDPOINTS`.
        group: The model group to choose.
        history_in_browser: On /v1/responses, whether the browser sends the whole chat each time,
            as on the other endpoints, and not the Playground's default, the new message and a
            `previous_response_id`.
    """

    def __init__(
        self, page: Page, url: str, endpoint: str, group: str, *, history_in_browser: bool = True
    ) -> None:
        self.page = page
        self._endpoint = endpoint
        self._group = group
        # Blocked in the browser: a route of Playwright's would turn its cache off.
        devtools = page.context.new_cdp_session(page)
        devtools.send("Network.enable")
        devtools.send("Network.setBlockedURLs", {"urls": [_LATEST_RELEASE]})
        page.goto(f"{url}/ui/playground/")
        self._choose_both()
        if endpoint == "/v1/responses" and history_in_browser:
            page.get_by_role("switch", name="Use API session management").click()

    @property
    def bubbles(self) -> Locator:
        """What was said so far, by either side, errors too."""
        return self.page.get_by_test_id("message-surface")

    @property
    def last(self) -> Locator:
        """The newest of the bubbles."""
        return self.bubbles.last

    def send(self, text: str) -> None:
        """Type a message and send it; return once the browser has sent its request."""
        self.page.locator('[data-testid="chat-composer-input"]:visible').fill(text)
        path = self._endpoint.removeprefix("/v1")
        with self.page.expect_request(
            lambda request: request.method == "POST" and request.url.endswith(path)
        ):
            self.page.get_by_test_id("chat-send-button").click()

    def ask(self, text: str) -> None:
        """Send a message and wait until the reply to it is over, whatever it was."""
        self.send(text)
        self._until_idle()

    def stop(self) -> None:
        """Press the Stop button."""
        self.page.get_by_test_id("chat-stop-button").click()
        self._until_idle()

    def reload(self, sent: str) -> None:
        """Load the page again, once it has put away the message that was sent last.

        Args:
            sent: The text of that message.
        """
        kept = "sent => (sessionStorage.getItem('chatHistory') ?? '').includes(sent)"
        self.page.wait_for_function(kept, arg=sent)  # it does so half a second late
        self.page.reload()
        expect(self.last).to_contain_text(sent)
        self._choose_both()  # it remembers the chat, and not the model

    def _until_idle(self) -> None:
        expect(self.page.get_by_test_id("chat-send-button")).to_be_visible()

    def _choose_both(self) -> None:
        # In this order: another endpoint takes the choice of the model back.
        self._choose("Select an endpoint", self._endpoint)
        self._choose("Select a Model", self._group)

    def _choose(self, placeholder: str, option: str) -> None:
        chooser = self.page.get_by_placeholder(placeholder, exact=True)
        chooser.wait_for()
        if chooser.input_value() == option:
            return  # choosing what is chosen takes it back
        for _ in range(_TRIES):
            chooser.fill(option)
            try:
                self.page.get_by_role("option", name=option, exact=True).click(timeout=_TRY_MS)
                break
            except TimeoutError:
                continue  # while the page is still being built, a list that opens may close again
        expect(chooser).to_have_value(option)


MODEL = "gemma3"


@dataclass(frozen=True)
class Target:
    """Whom the Playground talks to.

    Attributes:
        guarded: Whether it is the proxy with the guard.
        group: The model group.
    """

    guarded: bool
    group: str


UNGUARDED = Target(guarded=False, group=MODEL)
GUARDED = Target(guarded=True, group=MODEL)
CAUTIOUS = Target(guarded=True, group=f"{MODEL}-cautious")
INFORMED = Target(guarded=True, group=f"{MODEL}-template")
DROPPING = Target(guarded=True, group=f"{MODEL}-drop")


class Open(Protocol):
    """Opens the Playground in a tab of its own; see `Playground` for the keyword arguments."""

    def __call__(self, target: Target, endpoint: str, **options: Any) -> Playground:
        """Open it and choose the endpoint and the model group."""


LOST, NEXT = "are you there?", "hello again"


def stop(playground: Playground, backend: FailingBackend) -> None:
    """Press Stop while the answer is waited for."""
    backend.fail("hang")
    playground.send(LOST)
    backend.wait_for("hang")
    playground.stop()


Mishap = Callable[[Playground, FailingBackend], None]


def begin(playground: Playground, backend: FailingBackend, mishap: Mishap) -> None:
    """Have a first turn answered, and a second one go wrong."""
    playground.ask("hello")
    expect(playground.last).to_contain_text('I read 1 turn; the last said: "hello"')
    mishap(playground, backend)
    backend.fail(None)
    backend.forget()
