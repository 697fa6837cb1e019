"""Settings of the guard that stand where nobody reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from ..config.proxy_config import ProxyConfig, walk
from ..config.settings import KEY, DeploymentSettings, GuardSettings, is_nearly
from ..config.yaml_file import KeyPath
from .finding import Finding, as_yaml, pair

CALLBACK_SETTINGS = "callback_settings"

_SECTIONS = (CALLBACK_SETTINGS, "litellm_settings", "general_settings", "router_settings")


def misplaced_settings(config: ProxyConfig) -> Iterator[Finding]:
    """Yield each `role_guard`, however it is spelt, that stands in a wrong place.

    A key's or a team's own settings stand in its `metadata`, wherever a config gives it.
    """
    right: set[KeyPath] = set()
    for path, value in walk(config.written):
        if any(path[: len(each)] == each for each in right if len(path) > len(each)):
            continue  # what stands in the guard's settings is read as settings
        key = path[-1]
        if key == KEY and _is_right(path):
            right.add(path)
        elif (key == KEY and path[-2:-1] != ("metadata",)) or is_nearly(key):
            right.add(path)  # what stands in it is part of the same mistake
            yield Finding("warning", path, _why(path), _right_line(path, value))


def stray_settings(config: ProxyConfig) -> Iterator[Finding]:
    """Yield the settings of the guard that stand outside of any `role_guard`."""
    for path, mapping in _mappings(config.written):
        stray = {key: value for key, value in mapping.items() if _is_stray(path, key, value)}
        if stray:
            first = next(iter(stray))
            names = ", ".join(stray)
            is_one = len(stray) == 1
            what = f"not read here, {'a setting' if is_one else 'settings'} of the guard"
            if path[2:] == ("litellm_params",):
                what += ", and sent to the backend with every request"
            if not is_one:
                what += f" ({names})"
            yield Finding("warning", (*path, first), what, _right_line((*path, first), stray))


def _is_right(path: KeyPath) -> bool:
    if path == (CALLBACK_SETTINGS, KEY):
        return True
    return len(path) == 4 and path[0] == "model_list" and path[2:] == ("model_info", KEY)


def _why(path: KeyPath) -> str:
    parent = (*path[:-1], KEY)
    if path[-1] != KEY and _is_right(parent):
        return f"not read by anybody, since the key is {KEY}"
    if path[:1] == ("model_list",) and path[2:3] == ("litellm_params",):
        return "not read here, and sent to the backend with every request"
    return "not read here" + ("" if path[-1] == KEY else f", and the key is {KEY}")


def _right_line(path: KeyPath, value: Any) -> str:
    settings = dict(value) if isinstance(value, Mapping) else {"mode": "repair"}
    if settings.get("mode") is False:  # what YAML makes of a bare `off`
        settings["mode"] = "off"
    only_global = set(settings) & (set(GuardSettings.model_fields) - set(_OWN_FIELDS))
    if path[:1] == ("model_list",) and len(path) > 2 and not only_global:
        line = pair("model_info", {KEY: settings})
        if path[-1] != KEY and _is_right((*path[:-1], KEY)):
            return line
        return f"{line} beside litellm_params"
    return f"{CALLBACK_SETTINGS}: {as_yaml({KEY: settings})} at the top level"


_OWN_FIELDS = DeploymentSettings.model_fields


def _mappings(config: Mapping[str, Any]) -> Iterator[tuple[KeyPath, Mapping[Any, Any]]]:
    yield (), config
    for section in _SECTIONS:
        if isinstance(config.get(section), Mapping):
            yield (section,), config[section]
    entries = config.get("model_list")
    for position, entry in enumerate(entries if isinstance(entries, list) else ()):
        if isinstance(entry, Mapping):
            yield ("model_list", position), entry
            for part in ("litellm_params", "model_info"):
                if isinstance(entry.get(part), Mapping):
                    yield ("model_list", position, part), entry[part]


def _is_stray(path: KeyPath, key: object, value: Any) -> bool:
    """Return whether a key is one of the guard's, by its name and by its value.

    LiteLLM has a `mode` in `model_info`, too (`chat`, `embedding`), and vLLM takes a
    `chat_template` with each request, whose value is the template itself.
    """
    if key not in GuardSettings.model_fields or value is None:
        return False
    if key == "log_level" and path != (CALLBACK_SETTINGS,):
        return False  # anybody's
    if key == "chat_template" and ("{{" in str(value) or "{%" in str(value)):
        return False
    try:
        GuardSettings.model_validate({key: value})
    except ValidationError:
        return False
    return True
