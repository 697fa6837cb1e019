"""The tables of docs/settings.md: every setting as its pydantic model has it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from litellm_role_guard.config.proxy_config import ProxyConfig
from litellm_role_guard.config.settings import DeploymentSettings, GuardSettings
from litellm_role_guard.diagnosis.config_faults import config_faults
from testing.pages import table
from testing.processes import REPOSITORY

PAGE = REPOSITORY / "docs" / "settings.md"

_TYPES = {
    "string": "text",
    "boolean": "`true`, `false`",
    "number": "number",
    "integer": "whole number",
}
_GLOBAL, _BOTH = "global", "global, deployment"

_DEPLOYMENT: dict[str, Any] = {
    "model_name": "gemma3",
    "litellm_params": {"model": "hosted_vllm/gemma3", "api_base": "http://gpu-0:8000/v1"},
}
_PROXY: dict[str, Any] = {
    "model_list": [_DEPLOYMENT],
    "litellm_settings": {"callbacks": ["litellm_role_guard.role_guard"]},
}
_OBSERVE = {"role_guard": {"mode": "observe"}}

WRONG_PLACES: list[dict[str, Any]] = [
    {**_PROXY, **_OBSERVE},
    {**_PROXY, "callback_settings": {"mode": "observe"}},
    {**_PROXY, "litellm_settings": {**_PROXY["litellm_settings"], **_OBSERVE}},
    {**_PROXY, "model_list": [{**_DEPLOYMENT, **_OBSERVE}]},
    {
        **_PROXY,
        "model_list": [
            {**_DEPLOYMENT, "litellm_params": {**_DEPLOYMENT["litellm_params"], **_OBSERVE}}
        ],
    },
    {**_PROXY, "model_list": [{**_DEPLOYMENT, "model_info": {"learn": False}}]},
    {**_PROXY, "model_list": [{**_DEPLOYMENT, "model_info": {"roleguard": {"learn": False}}}]},
]
"""Configs with one setting in a wrong place each, as people write them."""


def settings_table() -> str:
    """Return every setting with its place, its values, its default and its meaning."""
    properties = GuardSettings.model_json_schema()["properties"]
    rows = []
    for name, field in GuardSettings.model_fields.items():
        where = _BOTH if name in DeploymentSettings.model_fields else _GLOBAL
        default = field.get_default(call_default_factory=True)
        shown = "none" if default is None else f"`{json.dumps(default)}`"
        meaning = _cell(str(field.description))
        rows.append((f"`{name}`", where, _values(properties[name]), shown, meaning))
    return table(("key", "where", "values", "default", "meaning"), rows)


def wrong_places_table() -> str:
    """Return what the guard's own check says of each setting in a wrong place."""
    rows = []
    for config in WRONG_PLACES:
        for finding in config_faults(ProxyConfig.of_data(config)):
            where = ".".join(str(step) for step in finding.path)
            rows.append((f"`{where}`", _cell(finding.what), f"`{_cell(finding.write)}`"))
    return table(("written at", "what the start says", "write instead"), rows)


def _values(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        (schema,) = (each for each in schema["anyOf"] if each.get("type") != "null")
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema["type"] == "array":
        return f"list of {_values(schema['items'])}"
    lowest = schema.get("minimum", schema.get("exclusiveMinimum"))
    if lowest is None:
        return _TYPES[schema["type"]]
    least = "from" if "minimum" in schema else "above"
    most = f" to {schema['maximum']:g}" if "maximum" in schema else ""
    return f"{_TYPES[schema['type']]} {least} {lowest:g}{most}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


SECTIONS = {"settings": settings_table, "wrong places": wrong_places_table}
"""What makes each part of the page, by the name of its marks."""


def sections(page: Path = PAGE) -> dict[str, tuple[Path, str]]:
    """Return each part of the page as it should be, with the page."""
    return {name: (page, make()) for name, make in SECTIONS.items()}
