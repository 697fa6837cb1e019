"""A client of the simulator with its strict template."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from litellm_role_guard.simulator import create_app
from litellm_role_guard.template.chat_template import ChatTemplate
from testing.serving import serving
from testing.simulated_chat import STRICT


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    """A client of a simulator with the strict template."""
    app = create_app(ChatTemplate(STRICT), model="simulated")
    with serving(app) as url, httpx.Client(base_url=url, timeout=20) as client:
        yield client
