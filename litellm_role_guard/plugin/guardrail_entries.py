"""The `guardrails:` entries of the guard: for which requests they switch it on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import litellm
from litellm.integrations.custom_guardrail import CustomGuardrail
from litellm.types.guardrails import GuardrailEventHooks


class GuardrailEntry(CustomGuardrail):
    """A `guardrails:` entry. It does nothing itself; the guard asks it whether a request is its."""


class GuardrailEntries:
    """The entries that LiteLLM knows now; without any, the guard is on for all requests."""

    def __init__(self) -> None:
        self._has_had = False
        self._is_listed = True

    def joined(self, *, is_listed: bool) -> None:
        """Handle a new entry.

        Args:
            is_listed: Whether the guard is listed under `callbacks`, too. Where it is not, it is
                off once all its entries are gone.
        """
        if not self._has_had:
            self._has_had, self._is_listed = True, is_listed

    def switched_on(self, arguments: Mapping[str, Any]) -> tuple[bool, GuardrailEntry | None]:
        """Return whether the guard is on for a request, and the entry that says so, if any.

        LiteLLM's own rules decide: `default_on`, what the admin has written into the metadata of
        the key and the team, and the `guardrails` of the request, its key or its deployment.

        Args:
            arguments: The request's body in the proxy, or LiteLLM's arguments of the call.
        """
        if not self._has_had:
            return True, None
        # The Admin UI may have taken one away, or put another in its place.
        entries = [each for each in litellm.callbacks if isinstance(each, GuardrailEntry)]
        for entry in entries:
            if entry.should_run_guardrail(data=arguments, event_type=GuardrailEventHooks.pre_call):
                return True, entry
        return not entries and self._is_listed, None
