"""A `guardrails:` entry: what it takes, and what switches the guard on."""

from __future__ import annotations

from typing import Any

import litellm
import pytest
from litellm.types.guardrails import GuardrailEventHooks

from litellm_role_guard import RoleGuard, RoleGuardrail
from litellm_role_guard.plugin.guardrail import GuardrailError
from litellm_role_guard.plugin.guardrail_entries import GuardrailEntries, GuardrailEntry
from testing.litellm_calls import USER, call


@pytest.fixture(autouse=True)
def _callbacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(litellm, "callbacks", [])


def entry(*, default_on: bool = True) -> GuardrailEntry:
    """Register an entry."""
    made = GuardrailEntry(
        guardrail_name="role-guard", event_hook=GuardrailEventHooks.pre_call, default_on=default_on
    )
    litellm.callbacks.append(made)
    return made


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"event_hook": "during_call"}, "guardrails.g.litellm_params.mode: must be 'pre_call'"),
        (
            {"event_hook": "pre_call", "separator": "-"},
            "guardrails.g.litellm_params.separator: belongs under "
            "callback_settings.role_guard.separator",
        ),
    ],
)
def test_an_entry_that_cannot_be_meant_stops_the_start(params: dict[str, Any], words: str) -> None:
    """It is no ValueError: of these LiteLLM writes a line, and starts without the guard."""
    with pytest.raises(GuardrailError, match=r"must be|belongs") as raised:
        RoleGuardrail(guardrail_name="g", **params)
    assert words in str(raised.value)
    assert not isinstance(raised.value, (TypeError, ValueError))


def test_without_an_entry_the_guard_is_on() -> None:
    """Who lists it under `callbacks` alone has it for all requests."""
    assert GuardrailEntries().switched_on({}) == (True, None)


def test_entries_that_are_gone_leave_what_callbacks_say() -> None:
    """An entry deleted in the Admin UI leaves the guard on only where `callbacks` lists it, too."""
    for is_listed in (True, False):
        entries = GuardrailEntries()
        entries.joined(is_listed=is_listed)
        assert entries.switched_on({}) == (is_listed, None)


async def test_an_entry_that_is_off_passes_the_request_on() -> None:
    """Only a request that asks for it is repaired."""
    guard = RoleGuard(learn=False)
    entry(default_on=False)
    guard.entries.joined(is_listed=True)
    kwargs = call(messages=[USER, USER])
    assert await guard.async_pre_call_deployment_hook(kwargs, "acompletion") is None
    asked = {**kwargs, "metadata": {"guardrails": ["role-guard"]}}
    changed = await guard.async_pre_call_deployment_hook(asked, "acompletion")
    assert changed is not None
    assert len(changed["messages"]) == 1


def test_two_entries_register_the_guard_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many entries there are, one guard runs."""
    from litellm_role_guard import role_guard

    monkeypatch.setattr(role_guard, "entries", GuardrailEntries())
    for name in ("one", "two"):
        litellm.callbacks.append(
            RoleGuardrail(guardrail_name=name, event_hook=GuardrailEventHooks.pre_call)
        )
    assert sum(isinstance(each, RoleGuard) for each in litellm.callbacks) == 1
