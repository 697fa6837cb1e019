"""All that can be said of a config without asking anybody."""

from __future__ import annotations

from ..config.deployment import deployments_of
from ..config.proxy_config import ProxyConfig
from .deployment_faults import deployment_faults
from .finding import Finding, Severity
from .loading import loading_faults, repeated_keys, replaced_sections
from .places import misplaced_settings, stray_settings
from .settings_faults import needs_template, settings_faults, useless_settings
from .variables import variable_faults

_ORDER: tuple[Severity, ...] = ("fatal", "error", "warning")


def config_faults(config: ProxyConfig) -> list[Finding]:
    """Return what is wrong with a config, the worst first.

    What keeps the guard from being put in at all is `loading.not_loaded`.

    Args:
        config: The config.
    """
    deployments = deployments_of(config)
    of_deployments = list(deployment_faults(config, deployments))
    broken = {each.path[:2] for each in of_deployments}
    found = [
        *loading_faults(config),
        *replaced_sections(config),
        *repeated_keys(config),
        *misplaced_settings(config),
        *stray_settings(config),
        *settings_faults(config, deployments),
        *needs_template(config, deployments),
        *(each for each in useless_settings(config, deployments) if each.path[:2] not in broken),
        *of_deployments,
        *variable_faults(config, {each.path for each in of_deployments}),
    ]
    return sorted(found, key=lambda finding: _ORDER.index(finding.severity))
