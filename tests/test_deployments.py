"""What is known of each backend."""

from __future__ import annotations

import pytest

from litellm_role_guard import deployments
from litellm_role_guard.deployments import Deployments
from litellm_role_guard.settings import GuardSettings, SettingsError


def test_the_deployment_longest_unused_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that a client makes up do not push out what is in use."""
    monkeypatch.setattr(deployments, "MAX_DEPLOYMENTS", 2)
    known = Deployments(GuardSettings())
    used, unused = known.get("used", None), known.get("unused", None)
    for made_up in range(3):
        assert known.get("used", None) is used
        known.get(made_up, None)
    assert known.get("used", None) is used
    assert known.get("unused", None) is not unused


@pytest.mark.parametrize("path", ["/no/such/file", "/", "~nobody-of-that-name/x.jinja", "\0"])
def test_a_chat_template_that_cannot_be_read_is_named(path: str) -> None:
    """Whatever is wrong with a path, the error starts with the setting's own."""
    settings = GuardSettings.model_construct(chat_template=path)
    with pytest.raises(SettingsError, match=r"^callback_settings\.role_guard\.chat_template: "):
        Deployments(settings)
