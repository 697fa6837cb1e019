"""Settings of the guard that cannot be used, and those that are of no use."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from ..config.deployment import ConfiguredDeployment
from ..config.proxy_config import ProxyConfig
from ..config.settings import (
    KEY,
    DeploymentSettings,
    GuardSettings,
    SettingsError,
    faults,
    read_settings,
)
from ..config.yaml_file import KeyPath
from ..template.chat_template import ChatTemplate
from .finding import Finding, as_yaml
from .places import CALLBACK_SETTINGS

GLOBAL: KeyPath = (CALLBACK_SETTINGS, KEY)


def settings_faults(
    config: ProxyConfig, deployments: Sequence[ConfiguredDeployment]
) -> Iterator[Finding]:
    """Yield the settings that stop the proxy's start.

    Args:
        config: The config.
        deployments: Its deployments.
    """
    section = config.resolved.get(CALLBACK_SETTINGS)
    if section and not isinstance(section, Mapping):
        what = f"must be a mapping, not {section!r}"
        yield Finding("fatal", (CALLBACK_SETTINGS,), what, "callback_settings: {role_guard: {}}")
        return
    yield from _unusable(config.mapping(CALLBACK_SETTINGS).get(KEY), GLOBAL, GuardSettings)
    for deployment in deployments:
        path = (*deployment.path, "model_info", KEY)
        yield from _unusable(deployment.own_settings, path, DeploymentSettings)


def global_settings(config: ProxyConfig) -> GuardSettings:
    """Return the settings of the whole guard; the defaults where they cannot be used."""
    try:
        return read_settings(config.mapping(*GLOBAL), "", GuardSettings)
    except SettingsError:
        return GuardSettings()


def settings_of(settings: GuardSettings, deployment: ConfiguredDeployment) -> DeploymentSettings:
    """Return the settings that hold for a deployment; the global ones where its own are unusable.

    Args:
        settings: Those of the whole guard.
        deployment: The deployment.
    """
    try:
        own = read_settings(deployment.own_settings, "", DeploymentSettings)
    except SettingsError:
        return settings
    return settings.overridden(own)


def is_guarded(settings: GuardSettings, deployment: ConfiguredDeployment) -> bool:
    """Return whether a deployment is guarded, whatever its mode."""
    if settings.model_groups is None:
        return deployment.is_vllm
    return settings.names(deployment.group)


def useless_settings(
    config: ProxyConfig, deployments: Sequence[ConfiguredDeployment]
) -> Iterator[Finding]:
    """Yield `model_groups` that match nothing, and settings of deployments that are not guarded.

    Args:
        config: The config.
        deployments: Its deployments.
    """
    settings = global_settings(config)
    aliases = config.mapping("router_settings", "model_group_alias")
    names = [each.group for each in deployments] + [str(each) for each in aliases]
    names += [str(each.info.get("team_public_model_name") or "") for each in deployments]
    names = [name for name in dict.fromkeys(names) if name]
    unmatched = [
        (at, pattern)
        for at, pattern in enumerate(settings.model_groups or ())
        if not _matches(pattern, names)
    ]
    for at, pattern in unmatched:
        yield _matching_nothing(at, pattern, names)
    for deployment in deployments:
        if deployment.own_settings and not is_guarded(settings, deployment):
            path = (*deployment.path, "model_info", KEY)
            if settings.model_groups is None:
                what = f"of no use: {deployment.model} is no hosted_vllm deployment"
                yield Finding("warning", path, what, f"model: hosted_vllm/{_name(deployment)}")
            elif not unmatched:
                what = f"of no use: model_groups does not name {deployment.group!r}"
                line = as_yaml({"model_groups": [*settings.model_groups, deployment.group]})
                yield Finding("warning", path, what, line.strip("{}"))


def _unusable(written: object, path: KeyPath, model: type[DeploymentSettings]) -> Iterator[Finding]:
    found = faults(written, model)
    for where, what in found:
        yield Finding("fatal", (*path, *where), what)
    if found or not isinstance(written, Mapping):
        return
    name = written.get("chat_template")
    if isinstance(name, str):
        try:
            ChatTemplate.from_path(name)
        except (OSError, RuntimeError, ValueError) as error:
            # RuntimeError: no such user's home. ValueError: TemplateInvalid, or no UTF-8.
            yield Finding("fatal", (*path, "chat_template"), f"{name}: {error}")


def needs_template(
    config: ProxyConfig, deployments: Sequence[ConfiguredDeployment]
) -> Iterator[Finding]:
    """Yield each `verify` without a `chat_template` to render with.

    Args:
        config: The config.
        deployments: Its deployments.
    """
    what = "needs a chat_template to render with"
    settings = global_settings(config)
    if settings.verify and settings.chat_template is None:
        yield Finding("fatal", (*GLOBAL, "verify"), what)
        return
    for deployment in deployments:
        own = settings_of(settings, deployment)
        if own.verify and own.chat_template is None:
            yield Finding("fatal", (*deployment.path, "model_info", KEY, "verify"), what)


def _matches(pattern: str, names: Sequence[str]) -> bool:
    # A group that is a glob itself, `hosted_vllm/*`, serves models of any such name.
    return any(
        fnmatchcase(name, pattern) or ("*" in name and fnmatchcase(pattern, name)) for name in names
    )


def _matching_nothing(at: int, pattern: str, names: Sequence[str]) -> Finding:
    folded = [name for name in names if fnmatchcase(name.lower(), pattern.lower())]
    near = folded or difflib.get_close_matches(pattern, names, n=1, cutoff=0.5)
    what = f"{pattern!r} matches no model group"
    if folded:
        what += ", since upper and lower case differ"
    listed = near or list(names)
    return Finding(
        "warning", (*GLOBAL, "model_groups", at), what, f"model_groups: {as_yaml(listed[:8])}"
    )


def _name(deployment: ConfiguredDeployment) -> str:
    return deployment.model.rpartition("/")[2] or "NAME"
