"""Settings for one key, one team or one request, on top of those of the deployment.

An admin writes a key's and a team's under `role_guard` in its metadata. A client may set, for its
own request, what `request_override` allows: in the header `x-role-guard: mode=observe`, or in the
body's field `role_guard`, which goes no further.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..config.settings import KEY, DeploymentSettings, GuardSettings, SettingsError, read_settings
from ..observability.log import logger
from ..observability.report import HEADER

_NESTED = (("extra_body", KEY), ("headers", HEADER), ("extra_headers", HEADER))

MAX_DIGITS = 18

MAX_REMEMBERED = 4096
"""How many metadata are remembered as read."""


class Steering(NamedTuple):
    """What was written for a request beyond its deployment's settings; None for nothing.

    Attributes:
        team: Of its team, by an admin.
        key: Of its key, by an admin.
        request: Of itself, by the client, as far as that is allowed.
        alias: What the log calls the key.
    """

    team: object = None
    key: object = None
    request: object = None
    alias: str = ""


NOT_STEERED = Steering()


def steering_of(caller: Any, settings: GuardSettings, requested: object = None) -> Steering:
    """Return what was written for a request.

    Args:
        caller: The key that it was made with, as LiteLLM's `UserAPIKeyAuth`; None without one.
        settings: The settings of the whole guard.
        requested: What the client has set itself, as `requested_settings` returns it.
    """
    if caller is None:
        return NOT_STEERED if requested is None else Steering(request=requested)
    team = key = None
    if "team" in settings.metadata_override:
        team = _written(getattr(caller, "team_metadata", None))
    if "key" in settings.metadata_override:
        key = _written(getattr(caller, "metadata", None))
    if team is key is requested is None:
        return NOT_STEERED
    return Steering(team, key, requested, str(getattr(caller, "key_alias", None) or ""))


def requested_settings(
    body: Mapping[str, Any], settings: GuardSettings
) -> dict[str, object] | None:
    """Return the settings that a client sets for its own request; None for none.

    What it may not set is not read, whatever it says.

    Args:
        body: The request's body, with LiteLLM's copy of its headers.
        settings: The settings of the whole guard.

    Raises:
        SettingsError: A setting that it may set has a wrong value.
    """
    allowed = settings.request_override
    if not allowed:
        return None
    request = body.get("proxy_server_request")
    headers = request.get("headers") if isinstance(request, dict) else None
    written = _pairs(headers.get(HEADER)) if isinstance(headers, dict) else {}
    in_body = body.get(KEY)
    if isinstance(in_body, dict):
        written.update(in_body)
    elif in_body is not None:
        raise SettingsError(f"{KEY}: must be an object")
    chosen: dict[str, object] = {name: written[name] for name in allowed if name in written}
    if not chosen:
        return None
    try:
        read_settings(chosen, KEY, DeploymentSettings)
    except SettingsError as error:
        # It shows the client what the client wrote, which may be of any length.
        raise SettingsError(str(error)[:200]) from None
    return chosen


def without_settings(body: dict[str, Any]) -> dict[str, Any] | None:
    """Return a request's body without the guard's field and header; None where it has neither.

    LiteLLM sends on what it does not know, and under `forward_client_headers_to_llm_api` headers.
    """
    nested = {
        name: _without(inner, key)
        for name, key in _NESTED
        if isinstance(inner := body.get(name), dict) and key in inner
    }
    return _without(body, KEY) | nested if nested or KEY in body else None


class SteeredSettings:
    """Reads what is written for keys, teams and requests; what is unusable is logged once."""

    def __init__(self) -> None:
        self._read: dict[tuple[str, str], DeploymentSettings | None] = {}

    def of(self, settings: DeploymentSettings, steering: Steering) -> DeploymentSettings:
        """Return the settings that hold for a request: the nearer to it, the stronger.

        Args:
            settings: The deployment's, which hold where nothing else is written.
            steering: What was written for the request.
        """
        if steering == NOT_STEERED:
            return settings
        changed: dict[str, Any] = {}
        for where in ("team", "key", "request"):
            own = self._own(where, getattr(steering, where), steering.alias)
            if own is not None:
                changed |= {name: getattr(own, name) for name in own.model_fields_set}
        return settings.model_copy(update=changed) if changed else settings

    def _own(self, where: str, written: object, alias: str) -> DeploymentSettings | None:
        if written is None:
            return None
        key = where, repr(written)
        if key not in self._read:
            if len(self._read) >= MAX_REMEMBERED:
                self._read.clear()
            self._read[key] = _settings_of(where, written, alias)
        return self._read[key]


def tell_unusable(where: str, alias: str, reason: str) -> None:
    """Write to the log that what stands in a key's or a team's metadata is not obeyed."""
    logger.warning("%s %r: not obeyed: metadata.%s", where, alias[:100], reason)


def _settings_of(where: str, written: object, alias: str) -> DeploymentSettings | None:
    try:
        return read_settings(written, KEY, DeploymentSettings)
    except SettingsError as error:
        tell_unusable(where, alias, str(error))
        return None


def _written(metadata: object) -> object:
    return metadata.get(KEY) if isinstance(metadata, Mapping) else None


def _without(mapping: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in mapping.items() if name != key}


def _pairs(header: object) -> dict[str, object]:
    """Return the settings of a header such as `mode=observe; long_run=20`."""
    if not isinstance(header, str):
        return {}
    pairs = (pair.partition("=") for pair in header.split(";"))
    return {name.strip(): _value(value.strip()) for name, found, value in pairs if found}


def _value(written: str) -> object:
    if written in ("true", "false"):
        return written == "true"
    # Python reads no number of thousands of digits, and no setting is one.
    is_number = written.isascii() and written.isdigit() and len(written) <= MAX_DIGITS
    return int(written) if is_number else written
