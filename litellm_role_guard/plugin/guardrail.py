"""The guard under `guardrails:` in a proxy's config.yaml."""

from __future__ import annotations

from typing import Any

import litellm
from litellm.types.guardrails import GuardrailEventHooks

from ..config.settings import GuardSettings
from .deployments import GLOBAL_PATH
from .guard import role_guard
from .guardrail_entries import GuardrailEntry

_ELSEWHERE = frozenset(GuardSettings.model_fields) - {"mode"}


class GuardrailError(RuntimeError):
    """A `guardrails:` entry that cannot be used.

    No ValueError or TypeError: of these LiteLLM only writes a line, and starts without the guard.
    """


class RoleGuardrail(GuardrailEntry):
    """The guard under `guardrails:`: listed in the Admin UI, on where LiteLLM's rules say so.

    An entry switches on the one guard of the process, `litellm_role_guard.role_guard`, whose
    settings stand under `callback_settings.role_guard`. That may be listed under `callbacks`, too.

    Args:
        guardrail_name: The entry's `guardrail_name`.
        event_hook: The entry's `mode`; only `pre_call` can be meant.
        default_on: Whether it is on for requests that do not ask for it.
        **params: What else stands in the entry's `litellm_params`, for LiteLLM.

    Raises:
        GuardrailError: The `mode` is another, or settings of the guard stand here.
    """

    def __init__(
        self,
        guardrail_name: str | None = None,
        event_hook: Any = None,
        default_on: bool = False,
        **params: Any,
    ) -> None:
        path = f"guardrails.{guardrail_name}.litellm_params"
        for name in sorted(_ELSEWHERE & params.keys()):
            raise GuardrailError(f"{path}.{name}: belongs under {GLOBAL_PATH}.{name}")
        try:
            super().__init__(
                guardrail_name=guardrail_name,
                supported_event_hooks=[GuardrailEventHooks.pre_call],
                event_hook=event_hook,
                default_on=bool(default_on),
                **params,
            )
        except ValueError:
            raise GuardrailError(
                f"{path}.mode: must be 'pre_call', not {event_hook!r}; the guard's own modes "
                f"are set at {GLOBAL_PATH}.mode"
            ) from None
        role_guard.entries.joined(is_listed=role_guard in litellm.callbacks)
        litellm.logging_callback_manager.add_litellm_callback(role_guard)
