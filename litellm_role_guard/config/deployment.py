"""One entry of a config's `model_list`, as LiteLLM's hosted_vllm code reads it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .proxy_config import ProxyConfig
from .settings import KEY
from .yaml_file import KeyPath

PROVIDER = "hosted_vllm"

ADDRESS_VARIABLE = "HOSTED_VLLM_API_BASE"
"""What LiteLLM takes where a deployment has no address (`litellm/main.py`)."""


@dataclass(frozen=True)
class ConfiguredDeployment:
    """One entry of a config's `model_list`.

    Attributes:
        path: Where it stands.
        group: Its `model_name`.
        params: Its `litellm_params`, those of its named credential among them.
        info: Its `model_info`.
        defaults: The address and the key that it has where it names none.
    """

    path: KeyPath
    group: str
    params: Mapping[str, Any]
    info: Mapping[str, Any]
    defaults: Mapping[str, Any]

    @property
    def model(self) -> str:
        """`litellm_params.model` as written, such as `hosted_vllm/gemma3`."""
        return str(self.params.get("model") or "")

    @property
    def served_model(self) -> str:
        """The name that the backend is asked for."""
        return self.model.removeprefix(f"{PROVIDER}/")

    @property
    def provider(self) -> str | None:
        """The provider, as far as it is named."""
        named = self.params.get("custom_llm_provider")
        if self.model.startswith(f"{PROVIDER}/"):
            return PROVIDER
        before, slash, _ = self.model.partition("/")
        return str(named) if named else before if slash else None

    @property
    def is_vllm(self) -> bool:
        """Whether it is a hosted_vllm deployment."""
        return self.provider == PROVIDER

    @property
    def address(self) -> str | None:
        """Its address, as LiteLLM finds it; None where there is none."""
        found = self.params.get("api_base") or self.params.get("base_url")
        if not found and self.is_vllm:
            found = self.defaults.get("api_base")
        return found if isinstance(found, str) and found.strip() else None

    @property
    def api_key(self) -> str | None:
        """Its key; None where there is none."""
        key = self.params.get("api_key") or (self.is_vllm and self.defaults.get("api_key"))
        return key if isinstance(key, str) else None

    @property
    def own_settings(self) -> object:
        """The guard's settings of its own as written, or None."""
        return self.info.get(KEY)

    @property
    def address_path(self) -> KeyPath:
        """Where its address stands, or should."""
        key = "base_url" if "base_url" in self.params and "api_base" not in self.params else None
        return (*self.path, "litellm_params", key or "api_base")


def deployments_of(
    config: ProxyConfig, variables: Mapping[str, str] = os.environ
) -> list[ConfiguredDeployment]:
    """Return the deployments of a config; what is no entry is left out.

    Args:
        config: The config.
        variables: The environment, for what LiteLLM falls back on.
    """
    return list(listed(config.entries("model_list"), config, variables))


def listed(
    entries: Sequence[object], config: ProxyConfig, variables: Mapping[str, str] = os.environ
) -> Iterator[ConfiguredDeployment]:
    """Yield the deployments of a list of them, a router's, say.

    Args:
        entries: The list.
        config: The config, whose credentials and defaults they have.
        variables: The environment, for what LiteLLM falls back on.
    """
    settings = config.mapping("litellm_settings")
    defaults = {
        "api_base": settings.get("api_base") or variables.get(ADDRESS_VARIABLE),
        "api_key": settings.get("api_key") or variables.get("HOSTED_VLLM_API_KEY"),
    }
    credentials = {
        str(each.get("credential_name")): _mapping(each.get("credential_values"))
        for each in config.entries("credential_list")
        if isinstance(each, Mapping)
    }
    for position, entry in enumerate(entries):
        if not isinstance(entry, Mapping):
            continue
        params = _mapping(entry.get("litellm_params"))
        # As LiteLLM does it: the credential fills in what is missing (`litellm/utils.py`).
        credential = credentials.get(str(params.get("litellm_credential_name")), {})
        yield ConfiguredDeployment(
            ("model_list", position),
            str(entry.get("model_name") or ""),
            {**credential, **{key: each for key, each in params.items() if each is not None}},
            _mapping(entry.get("model_info")),
            defaults,
        )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
