"""What the guard says at the proxy's start, and whenever the list of models has changed."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from pathlib import Path
from typing import Any

import litellm

from ..config.deployment import deployments_of, listed
from ..config.proxy_config import ProxyConfig
from ..config.settings import GuardSettings, SettingsError
from ..config.yaml_file import UnreadableConfigError
from ..diagnosis.address_faults import AddressChecks
from ..diagnosis.config_faults import config_faults
from ..diagnosis.coverage import coverage_of, installed
from ..diagnosis.deployment_faults import deployment_faults
from ..diagnosis.finding import Finding
from ..diagnosis.versions import version_faults
from ..observability.log import log_failure, logger
from .litellm_internals import proxy_config_path, proxy_config_state, router_model_list

INTERVAL_SECONDS = 30.0
"""How often the list of models is looked at."""


def read_proxy_config() -> ProxyConfig:
    """Return the config that the proxy runs with; an empty one where there is none."""
    # LiteLLM has read the section by now, whatever else it shows of its config.
    known = {"callback_settings": litellm.callback_settings or {}}
    state = proxy_config_state()
    if state is None:
        logger.warning("the config cannot be checked at start: LiteLLM does not show it")
        return ProxyConfig.of_data(known)
    state = {**known, **state}
    path = proxy_config_path()
    if path is not None:
        try:
            return ProxyConfig.read(Path(path), resolved=state)
        except UnreadableConfigError as error:
            logger.debug("the config is checked without its file: %s", error)
    return ProxyConfig.of_data(state)


def check_at_start(config: ProxyConfig) -> None:
    """Log what is wrong with LiteLLM's version and a config, but for what stops the start.

    What stops it, its error says.

    Args:
        config: The proxy's config.

    Raises:
        SettingsError: Something of it stops the start.
    """
    findings = [*version_faults(installed("litellm")), *config_faults(config)]
    _log([finding for finding in findings if finding.severity != "fatal"], config)
    fatal = [finding.line(config) for finding in findings if finding.severity == "fatal"]
    if fatal:
        raise SettingsError("\n".join(fatal))


class StartReport:
    """Says what is guarded, at the start and when the list of models has changed.

    Args:
        settings: The settings of the whole guard.
        config: The proxy's config.
    """

    def __init__(self, settings: GuardSettings, config: ProxyConfig) -> None:
        self._settings = settings
        self._config = config
        self._said: tuple[str, frozenset[str]] | None = None
        self._addresses = AddressChecks(settings)
        self._task: asyncio.Task[None] | None = None

    def say(self) -> None:
        """Log the line of the start, and watch the list of models from now on."""
        self._say(list(self._config.entries("model_list")), is_start=True)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # read by something else than a proxy that runs
        # The context of whoever is there first would be kept alive for good.
        self._task = contextvars.Context().run(loop.create_task, self._watch())

    def stop(self) -> None:
        """Watch no longer."""
        if self._task is not None:
            self._task.cancel()

    async def _watch(self) -> None:
        entries: list[Any] = self._config.entries("model_list")
        while True:
            try:
                deployments = list(listed(entries, self._config))
                _log(await self._addresses.check(deployments), self._config)
                await asyncio.sleep(INTERVAL_SECONDS)
                entries = router_model_list() or entries
                self._say(entries)
            except Exception as error:
                log_failure("role guard cannot say what it guards", error)
                return

    def _say(self, entries: list[Any], *, is_start: bool = False) -> None:
        deployments = list(listed(entries, self._config))
        coverage = coverage_of(self._settings, deployments)
        findings: list[Finding] = []
        if not is_start:
            data = ProxyConfig.of_data({**self._config.resolved, "model_list": entries})
            findings = list(deployment_faults(data, deployments_of(data)))
        said = coverage.line(), frozenset(each.line(self._config) for each in findings)
        if said == self._said:
            return
        if is_start or self._said is None or said[0] != self._said[0]:
            logger.log(logging.INFO if coverage.guarded else logging.WARNING, "%s", said[0])
        before = frozenset[str]() if self._said is None else self._said[1]
        if not is_start:
            _log([each for each in findings if each.line(self._config) not in before], self._config)
        self._said = said


def _log(findings: list[Finding], config: ProxyConfig) -> None:
    for finding in findings:
        level = logging.WARNING if finding.severity == "warning" else logging.ERROR
        logger.log(level, "%s", finding.line(config))
