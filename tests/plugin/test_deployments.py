"""What is known of each backend."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from litellm_role_guard.backend.backend import Backend
from litellm_role_guard.config.settings import GuardSettings, SettingsError
from litellm_role_guard.plugin import deployments
from litellm_role_guard.plugin.deployments import Deployments
from testing.templates import TEMPLATES

STRICT = TEMPLATES / "alternating.jinja"


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


async def test_a_deployment_that_is_forgotten_learns_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither one that was pushed out nor one whose settings have changed keeps a task."""
    monkeypatch.setattr(deployments, "MAX_DEPLOYMENTS", 1)
    known = Deployments(GuardSettings())

    async def hang(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(3600)
        return httpx.Response(200)

    connections = httpx.AsyncClient(transport=httpx.MockTransport(hang))
    backend = Backend("d", "http://vllm", "m", handler=SimpleNamespace(client=connections))
    tasks, learners = [], []
    for key, own in (("a", None), ("b", None), ("b", {"separator": "-"}), ("c", None)):
        learner = known.get(key, own).learner
        assert learner is not None
        learners.append(learner)
        await learner.ready(lambda: backend, 0)
        tasks.append(learner._task)
    assert all(tasks)
    done, pending = await asyncio.wait(filter(None, tasks), timeout=1)
    assert (len(done), pending) == (3, {tasks[-1]})
    learners[-1].stop()


def test_who_learns_from_the_backend() -> None:
    """Deployments without a template of their own, unless it is switched off."""
    known = Deployments(GuardSettings())
    assert known.get("a", None).learner is not None
    assert known.get("b", {"learn": False}).learner is None
    assert known.get("c", {"chat_template": str(STRICT)}).learner is None


def test_settings_are_read_once_as_long_as_they_stay_the_same() -> None:
    """Each request asks for them, a deployment whose settings were changed in place as well."""
    known, own = Deployments(GuardSettings(separator=" ")), {"mode": "observe"}
    settings = known.settings_for(own)
    assert (settings.mode, settings.separator) == ("observe", " ")
    assert known.settings_for(dict(own)) is settings
    assert known.settings_for(None) is known.settings
    own["mode"] = "reject"
    assert known.settings_for(own).mode == "reject"
    assert known.settings_for({"mode": "observe"}).mode == "observe"


@pytest.mark.parametrize(
    ("settings", "own", "words"),
    [
        ({"verify": True}, None, r"^callback_settings\.role_guard\.verify: needs a chat_template"),
        ({}, {"verify": True}, r"^model_list\[0\]\.model_info\.role_guard\.verify: needs a chat"),
    ],
)
def test_verify_needs_a_template(
    settings: dict[str, Any], own: dict[str, Any] | None, words: str
) -> None:
    """It is named where it stands, before the first request."""
    with pytest.raises(SettingsError, match=words):
        Deployments(GuardSettings(**settings)).prepare([{"model_info": {"role_guard": own}}])


def test_verify_and_the_template_may_stand_in_either_place() -> None:
    """What counts are the settings that hold for a deployment."""
    with_template = GuardSettings(chat_template=str(STRICT))
    own = {"chat_template": str(STRICT), "verify": True}
    for settings, role_guard in ((with_template, {"verify": True}), (GuardSettings(), own)):
        known = Deployments(settings)
        known.prepare([{"model_info": {"role_guard": role_guard}}])
        held = known.settings_for(role_guard)
        assert (held.verify, held.chat_template) == (True, str(STRICT))


@pytest.mark.parametrize("path", ["/no/such/file", "/", "~nobody-of-that-name/x.jinja", "\0"])
def test_a_chat_template_that_cannot_be_read_is_named(path: str) -> None:
    """Whatever is wrong with a path, the error starts with the setting's own."""
    settings = GuardSettings.model_construct(chat_template=path)
    with pytest.raises(SettingsError, match=r"^callback_settings\.role_guard\.chat_template: "):
        Deployments(settings)
