"""Deployments whose requests go to nobody, to somebody else, or past the guard."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence

from ..backend.address import address_fault, shown_address
from ..config.deployment import ADDRESS_VARIABLE, PROVIDER, ConfiguredDeployment
from ..config.proxy_config import ProxyConfig
from ..config.settings import GuardSettings
from .finding import Finding, pair
from .settings_faults import global_settings, is_guarded, settings_of
from .variables import unset

EXAMPLE = "http://gpu-0:8000/v1"


def deployment_faults(
    config: ProxyConfig, deployments: Sequence[ConfiguredDeployment]
) -> Iterator[Finding]:
    """Yield what is wrong with the addresses and providers of deployments.

    Args:
        config: The config.
        deployments: Its deployments.
    """
    for deployment in deployments:
        if deployment.is_vllm:
            yield from _of_address(config, deployment)
            if not deployment.served_model.strip():
                path = (*deployment.path, "litellm_params", "model")
                yield Finding("error", path, "names no model", "model: hosted_vllm/NAME")
        else:
            yield from _of_provider(deployment)
    yield from _partly_routed(global_settings(config), deployments)


def _of_address(config: ProxyConfig, deployment: ConfiguredDeployment) -> Iterator[Finding]:
    path, address = deployment.address_path, deployment.address
    if address is None:
        name = config.variable(path)
        if name is not None and config.is_unknown(path):
            return
        if name is not None:
            what, line = unset(config, path, name), f"export {name}={EXAMPLE}"
        else:
            what, line = "empty", pair(str(path[-1]), EXAMPLE)
        what += (
            f", and {ADDRESS_VARIABLE} is not set either: LiteLLM would send the chats to "
            "api.openai.com"
        )
        yield Finding("fatal", path, what, line)
        return
    problem = address_fault(address)
    if problem is not None:
        what = f"{shown_address(address)!r} {problem}"
        yield Finding("error", path, what, pair(str(path[-1]), EXAMPLE))


def _of_provider(deployment: ConfiguredDeployment) -> Iterator[Finding]:
    path = (*deployment.path, "litellm_params", "model")
    named = deployment.model.partition("/")[0] if "/" in deployment.model else ""
    line = f"model: {PROVIDER}/{deployment.model.partition('/')[2] or deployment.model}"
    if named == "vllm" and deployment.address:
        what = "vllm is LiteLLM's vLLM inside the proxy's own process; no server is asked"
        yield Finding("error", path, what, line)
    elif difflib.get_close_matches(named.lower().replace("-", "_"), [PROVIDER], cutoff=0.8):
        yield Finding("error", path, f"LiteLLM has no provider {named!r}", line)


def _partly_routed(
    settings: GuardSettings, deployments: Sequence[ConfiguredDeployment]
) -> Iterator[Finding]:
    """Yield the groups of which only some deployments have prefix affinity."""
    groups: dict[str, list[ConfiguredDeployment]] = {}
    for deployment in deployments:
        groups.setdefault(deployment.group, []).append(deployment)
    for group, members in groups.items():
        without = [
            each
            for each in members
            if settings_of(settings, each).routing == "off" or not is_guarded(settings, each)
        ]
        if without and len(without) < len(members):
            what = f"without routing, so that no deployment of {group!r} has it"
            path = (*without[0].path, "model_info", "role_guard", "routing")
            yield Finding("warning", path, what, "routing: prefix_affinity")
