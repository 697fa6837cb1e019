"""What goes along with a call to a backend, beside its retries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx


class CallPart:
    """Hears what becomes of one call. Each part overrides what concerns it."""

    async def on_error(self, error: httpx.HTTPStatusError, arguments: Mapping[str, Any]) -> None:
        """Raise another error in place of the backend's, or return.

        Args:
            error: What the backend answered with.
            arguments: What was posted: the body is in `json` or `data`.
        """

    def on_response(self, response: httpx.Response) -> None:
        """Handle an answer before LiteLLM has it; its stream may not be read yet."""

    def on_end(self, response: httpx.Response | None) -> None:
        """Handle the end of the call; `response` is None where it failed."""
