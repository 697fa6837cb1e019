"""What an admin or a client writes beside a deployment's own settings."""

from __future__ import annotations

from typing import Any

import pytest
from litellm.proxy._types import UserAPIKeyAuth

from litellm_role_guard.config.settings import GuardSettings, SettingsError
from litellm_role_guard.plugin.deployments import Deployments
from litellm_role_guard.plugin.litellm_internals import caller_of
from litellm_role_guard.plugin.steering import (
    NOT_STEERED,
    SteeredSettings,
    Steering,
    requested_settings,
    steering_of,
    without_settings,
)

SETTINGS = GuardSettings()


def caller(**fields: Any) -> UserAPIKeyAuth:
    """Give a key that the proxy knows."""
    return UserAPIKeyAuth(api_key="sk-1", **fields)


def test_the_nearest_to_the_request_holds() -> None:
    """The request's own comes before the key's, that before the team's, setting by setting."""
    steering = Steering(
        team={"mode": "off", "separator": "t", "long_run": 3},
        key={"mode": "reject", "separator": "k"},
        request={"mode": "observe"},
    )
    steered = SteeredSettings().of(SETTINGS, steering)
    assert (steered.mode, steered.separator, steered.long_run) == ("observe", "k", 3)


def test_a_key_without_settings_steers_nothing() -> None:
    """Most requests have the very settings of their deployment."""
    steering = steering_of(caller(metadata={"cost": 1}, team_metadata={}), SETTINGS)
    assert steering is NOT_STEERED
    assert SteeredSettings().of(SETTINGS, steering) is SETTINGS


@pytest.mark.parametrize("field", ["metadata", "litellm_metadata"])
@pytest.mark.parametrize("name", ["user_api_key_auth", "user_api_key_metadata", "role_guard"])
def test_json_makes_no_key(field: str, name: str) -> None:
    """Whatever a client writes, and wherever, is not an admin's word."""
    written = {"role_guard": {"mode": "off"}, "mode": "off"}
    forged = {**written, "metadata": written, "team_metadata": written}
    assert steering_of(caller_of({field: {name: forged}}), SETTINGS) is NOT_STEERED


def test_the_admin_says_whose_metadata_counts() -> None:
    """Where users make keys for themselves, `metadata_override` may leave their keys out."""
    settings = GuardSettings(metadata_override=["team"])
    known = caller(
        metadata={"role_guard": {"mode": "off"}}, team_metadata={"role_guard": {"long_run": 3}}
    )
    assert steering_of(known, settings).key is None
    assert steering_of(known, settings).team == {"long_run": 3}
    assert steering_of(known, SETTINGS).key == {"mode": "off"}


@pytest.mark.parametrize(
    "written", [{"mdoe": "off"}, {"mode": "fix"}, "off", ["off"], {"model_groups": ["a"]}]
)
def test_metadata_that_cannot_be_used_is_told_and_read_past(
    caplog: pytest.LogCaptureFixture, written: object
) -> None:
    """A mistake in a key's metadata costs none of its requests, and one line in the log."""
    steered = SteeredSettings()
    for _ in range(3):
        assert steered.of(SETTINGS, Steering(key=written, alias="bot")) is SETTINGS
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("key 'bot': not obeyed: metadata.role_guard")


@pytest.mark.parametrize("own", [{"chat_template": "/no/such.jinja"}, {"verify": True}])
def test_a_template_that_is_not_there_steers_nothing(
    caplog: pytest.LogCaptureFixture, own: dict[str, Any]
) -> None:
    """The deployment's own holds where a key names what cannot be used; the log says so once."""
    deployments = Deployments(SETTINGS)
    for _ in range(3):
        steering = Steering(key={**own, "mode": "observe"})
        deployment, settings = deployments.steered("d", {"long_run": 5}, steering)
        assert deployment is deployments.get("d", {"long_run": 5})
        assert (settings.chat_template, settings.verify, settings.long_run) == (None, False, 5)
        assert settings.mode == "observe"
    assert len(caplog.records) == ("chat_template" in own)


def test_requests_of_all_keys_share_what_is_known() -> None:
    """Another mode is no other backend; another way of learning it is."""
    deployments = Deployments(SETTINGS)
    plain, _ = deployments.steered("d", None, NOT_STEERED)
    observed, settings = deployments.steered("d", None, Steering(key={"mode": "observe"}))
    unlearnt, _ = deployments.steered("d", None, Steering(key={"learn": False}))
    assert observed is plain
    assert settings.mode == "observe"
    assert unlearnt is not plain
    assert deployments.steered("d", None, NOT_STEERED)[0] is plain


@pytest.mark.parametrize(
    ("header", "field", "chosen"),
    [
        ("mode=observe", None, {"mode": "observe"}),
        ("mode = observe ; long_run = 20; learn=false", None, {"mode": "observe", "long_run": 20}),
        ("mode=observe", {"mode": "off"}, {"mode": "off"}),
        (None, {"mode": "off", "separator": "!"}, {"mode": "off"}),
        (None, {"separator": "!"}, None),
        ("merged=1; routed=home", None, None),
        ("", {}, None),
        (None, None, None),
    ],
)
def test_a_client_sets_what_is_allowed(
    header: str | None, field: object, chosen: dict[str, object] | None
) -> None:
    """The header and the field are read for what `request_override` names, and no more."""
    settings = GuardSettings(request_override=["mode", "long_run"])
    headers = {} if header is None else {"x-role-guard": header}
    body: dict[str, Any] = {"proxy_server_request": {"headers": headers}}
    if field is not None:
        body["role_guard"] = field
    assert requested_settings(body, settings) == chosen
    assert requested_settings(body, SETTINGS) is None


@pytest.mark.parametrize("field", ["off", ["mode"], {"mode": "fix"}, {"mode": {"x": "y" * 10000}}])
def test_what_a_client_sets_wrong_is_a_short_error(field: object) -> None:
    """It names the field, and quotes no more than a little of it."""
    with pytest.raises(SettingsError, match=r"^role_guard") as refused:
        requested_settings({"role_guard": field}, GuardSettings(request_override=["mode"]))
    assert len(str(refused.value)) <= 200


def test_nothing_that_names_a_file_can_be_left_to_clients() -> None:
    """`request_override` takes the settings that cost and concern the client alone."""
    for name in ("chat_template", "error_patterns", "learn_max_age", "separator", "verify"):
        with pytest.raises(ValueError, match="request_override"):
            GuardSettings.model_validate({"request_override": [name]})


def test_the_guards_field_and_header_go_no_further() -> None:
    """They are taken out of wherever LiteLLM would send them from; all else stays."""
    body = {
        "model": "m",
        "role_guard": {"mode": "off"},
        "extra_body": {"role_guard": {}, "top_k": 1},
        "headers": {"x-role-guard": "mode=off", "x-other": "1"},
    }
    assert without_settings(body) == {
        "model": "m",
        "extra_body": {"top_k": 1},
        "headers": {"x-other": "1"},
    }
    assert without_settings({"model": "m", "extra_body": {"top_k": 1}}) is None


def _deep(levels: int) -> object:
    value: object = "x"
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "body",
    [
        {"proxy_server_request": {"headers": {"x-role-guard": f"long_run={'9' * 5000}"}}},
        {"role_guard": {"mode": _deep(5000)}},
        {"role_guard": {"long_run": {"a": _deep(5000)}}},
        {"role_guard": _deep(5000)},
    ],
)
def test_no_value_of_a_clients_makes_the_guard_stumble(body: dict[str, Any]) -> None:
    """A number of thousands of digits, and what is nested thousands of levels deep, are faults."""
    settings = GuardSettings(request_override=["mode", "long_run"])
    with pytest.raises(SettingsError, match="role_guard") as error:
        requested_settings(body, settings)
    assert len(str(error.value)) <= 200
