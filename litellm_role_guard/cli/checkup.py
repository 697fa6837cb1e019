"""All that `doctor` finds out about a proxy's config."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config.deployment import ConfiguredDeployment, deployments_of
from ..config.proxy_config import ProxyConfig
from ..diagnosis.backend_report import BackendReport, examine
from ..diagnosis.config_faults import config_faults
from ..diagnosis.coverage import Coverage, coverage_of, installed
from ..diagnosis.finding import Finding
from ..diagnosis.loading import missing_packages, not_loaded
from ..diagnosis.redis_report import examine_redis
from ..diagnosis.settings_faults import global_settings
from ..diagnosis.versions import version_faults, versions

AT_ONCE = 8
"""How many backends are asked at once."""


@dataclass(frozen=True)
class Checkup:
    """What was found out.

    Attributes:
        source: The path of the config.
        config: The config.
        about: Versions and Redis, by name.
        coverage: What is guarded.
        backends: What each backend says.
        findings: What is wrong, the worst first.
    """

    source: str
    config: ProxyConfig
    about: dict[str, str]
    coverage: Coverage
    backends: list[BackendReport]
    findings: list[Finding]

    @property
    def exit_code(self) -> int:
        """0: nothing is wrong. 1: it works, not as written. 2: something would fail."""
        severities = {finding.severity for finding in self.findings}
        return 0 if not severities else 1 if severities == {"warning"} else 2

    def as_json(self) -> dict[str, Any]:
        """Return all of it as JSON's types."""
        return {
            "config": self.source,
            "about": self.about,
            "guarded": {group: len(each) for group, each in self.coverage.guarded.items()},
            "not_guarded": dict(self.coverage.unguarded),
            "backends": [{"name": each.name, **each.facts} for each in self.backends],
            "findings": [
                {
                    "severity": finding.severity,
                    "where": finding.where,
                    "place": self.config.place(finding.path),
                    "what": finding.what,
                    "write": finding.write or None,
                }
                for finding in self.findings
            ],
            "exit_code": self.exit_code,
        }


async def check_up(config: ProxyConfig, path: Path, *, offline: bool) -> Checkup:
    """Return what is wrong with a proxy's config and its backends.

    Args:
        config: The config.
        path: Its file.
        offline: Whether nobody is asked.
    """
    deployments = deployments_of(config)
    settings = global_settings(config)
    findings = [
        *version_faults(installed("litellm")),
        *not_loaded(config),
        *missing_packages(config),
        *config_faults(config),
    ]
    about, backends = versions(), list[BackendReport]()
    if not offline:
        about["Redis"], of_redis = await examine_redis(config)
        backends = await _examine(config, deployments, findings)
        findings += of_redis + [each for report in backends for each in report.findings]
    findings.sort(key=lambda each: ("fatal", "error", "warning").index(each.severity))
    coverage = coverage_of(settings, deployments)
    return Checkup(str(path), config, about, coverage, backends, findings)


async def _examine(
    config: ProxyConfig, deployments: list[ConfiguredDeployment], known: list[Finding]
) -> list[BackendReport]:
    settings, places = global_settings(config), asyncio.Semaphore(AT_ONCE)
    broken = {each.path for each in known if each.severity != "warning"}

    async def ask(deployment: ConfiguredDeployment) -> BackendReport:
        async with places:
            return await examine(deployment, settings)

    asked = [
        each for each in deployments if each.address is not None and each.address_path not in broken
    ]
    reports = await asyncio.gather(*map(ask, asked))
    return [report for report in reports if report.deployment.is_vllm or report.findings]
