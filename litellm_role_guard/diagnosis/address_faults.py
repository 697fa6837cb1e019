"""What only an answer shows of an address: `/v1` is missing, or a vLLM goes by another provider."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

import httpx

from ..backend.address import shown_address
from ..backend.errors import LearningFailed
from ..backend.server import VllmServer, connected, root_of
from ..backend.tasks import gather_or_cancel
from ..config.deployment import PROVIDER, ConfiguredDeployment
from ..config.settings import GuardSettings
from .backend_of import backend_of
from .finding import Finding, pair
from .settings_faults import is_guarded, settings_of

SECONDS = 5.0
"""How long an answer may take."""

_SPEAK_OPENAI = (
    "openai",
    "openai_like",
    "custom_openai",
    "text-completion-openai",
    "vllm",
    "lm_studio",
)
"""Providers by which LiteLLM calls any server that speaks OpenAI's API."""


class AddressChecks:
    """Asks each address until it has answered once.

    Args:
        settings: The settings of the whole guard.
    """

    def __init__(self, settings: GuardSettings) -> None:
        self._settings = settings
        self._answered: set[tuple[str, str | None]] = set()

    async def check(self, deployments: Iterable[ConfiguredDeployment]) -> list[Finding]:
        """Return what is wrong with the addresses that answer now for the first time.

        Deployments with `learn: false` are not asked.

        Args:
            deployments: The deployments.
        """
        waiting = {
            (each.model, each.address): each
            for each in deployments
            if (each.model, each.address) not in self._answered
            and settings_of(self._settings, each).learn
        }
        found = await gather_or_cancel(map(self._check, waiting.values()))
        return [finding for findings in found for finding in findings]

    async def _check(self, deployment: ConfiguredDeployment) -> list[Finding]:
        try:
            found = await find_address_faults(deployment, self._settings)
        except LearningFailed:
            return []  # it may not be up yet
        self._answered.add((deployment.model, deployment.address))
        return found


async def find_address_faults(
    deployment: ConfiguredDeployment, settings: GuardSettings
) -> list[Finding]:
    """Return what an answer shows to be wrong with a deployment's address.

    Args:
        deployment: The deployment.
        settings: The settings of the whole guard.

    Raises:
        LearningFailed: It cannot be reached.
    """
    backend = backend_of(deployment)
    if backend is None:
        return []
    if deployment.is_vllm:
        async with connected(backend, SECONDS) as server:
            return await _without_v1(server, deployment)
    if is_guarded(settings, deployment) or not _may_be_vllm(deployment):
        return []
    async with connected(backend, SECONDS) as server:
        return await _by_another_provider(server, deployment)


async def _without_v1(server: VllmServer, deployment: ConfiguredDeployment) -> list[Finding]:
    url = server.backend.url
    if root_of(url) != url.rstrip("/") or (await server.response("/models")).status_code != 404:
        return []
    if (await server.response("/v1/models")).status_code == 404:
        return []
    shown = shown_address(url).rstrip("/")
    what = f"{shown} answers under /v1 only, so that every request gets a 404"
    line = pair(str(deployment.address_path[-1]), f"{shown}/v1")
    return [Finding("error", deployment.address_path, what, line)]


async def _by_another_provider(
    server: VllmServer, deployment: ConfiguredDeployment
) -> list[Finding]:
    if not _is_vllm(await server.response("/v1/models")):
        return []
    version = (await server.shown("/version")).get("version")
    name = f"vLLM {version}" if isinstance(version, str) else "vLLM"
    path = (*deployment.path, "litellm_params", "model")
    what = f"{server.root} answers as a {name}, and is not guarded"
    model = deployment.model.partition("/")[2] or deployment.model
    return [Finding("warning", path, what, f"model: {PROVIDER}/{model}")]


def _is_vllm(models: httpx.Response) -> bool:
    try:
        cards = models.json()["data"]
        return any(card.get("owned_by") == "vllm" for card in cards)
    except (ValueError, KeyError, TypeError, AttributeError):
        return False


def _may_be_vllm(deployment: ConfiguredDeployment) -> bool:
    if deployment.provider is not None and deployment.provider not in _SPEAK_OPENAI:
        return False
    try:
        host = urlsplit(deployment.address or "").hostname or ""
    except ValueError:
        return False
    return host != "" and not host.endswith("openai.com")
