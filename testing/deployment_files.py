"""The files of deploy/, read as Docker Compose reads them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from .processes import REPOSITORY

FOLDER = REPOSITORY / "deploy"
WITH_PROXY = FOLDER / "docker-compose.yaml"
VLLM_ONLY = FOLDER / "docker-compose.vllm-only.yaml"
COMPOSE_FILES = (WITH_PROXY, VLLM_ONLY)
MODEL = "google/gemma-3-12b-it"

# ${NAME:-default} and ${NAME:?what is missing}, https://docs.docker.com/reference/compose-file/interpolation
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*)|:\?[^}]*)?\}")


def services(path: Any, variables: Mapping[str, str] | None = None) -> dict[str, dict[str, Any]]:
    """Give the services of a compose file, its anchors merged and its variables filled in.

    Args:
        path: The compose file.
        variables: What `.env` sets; a variable that has no value and no default is left empty.
    """
    given = variables or {}

    def fill(found: re.Match[str]) -> str:
        return given.get(found[1]) or found[2] or ""

    compose = yaml.safe_load(_VARIABLE.sub(fill, path.read_text()))
    read: dict[str, dict[str, Any]] = compose["services"]
    return read


def vllm_commands(path: Any) -> dict[str, list[str]]:
    """Give the whole command of each vLLM of a compose file, by the service's name."""
    return {
        name: [*service["entrypoint"], *service["command"]]
        for name, service in services(path).items()
        if service.get("image", "").startswith("vllm/")
    }
