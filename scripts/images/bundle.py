"""What runc starts: an image's files and settings, with the limits of a compose file's service."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

_NAMESPACES = ("mount", "pid", "ipc", "uts")  # not the network's: the backend is on this machine


def bundle(
    image: Mapping[str, Any],
    service: Mapping[str, Any],
    files: Path,
    config: Path,
    arguments: Sequence[str],
    environment: Mapping[str, str],
) -> dict[str, Any]:
    """Return a config.json of the OCI's runtime specification.

    Args:
        image: The image's configuration.
        service: The service in the compose file, of which the limits are taken.
        files: Where the image's files are.
        config: The proxy's config.yaml on this machine.
        arguments: What is added to the image's entry point.
        environment: What is set beside the image's own.
    """
    user = user_of(image, files)
    assert service["cap_drop"] == ["ALL"]
    named = [*(image.get("Env") or ()), *(f"{key}={value}" for key, value in environment.items())]
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": user, "gid": user},
            "args": [*image["Entrypoint"], *arguments],
            "env": [*named, f"HOME={_home(user, files)}", "LITELLM_LOCAL_MODEL_COST_MAP=True"],
            "cwd": "/",
            "capabilities": {},
            "noNewPrivileges": "no-new-privileges:true" in service["security_opt"],
        },
        "root": {"path": str(files), "readonly": service["read_only"]},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]},
            *_tmpfs(service["tmpfs"]),
            _bound(config, "/etc/litellm/config.yaml"),
        ],
        "linux": {"namespaces": [{"type": each} for each in _NAMESPACES]},
    }


def configured(backend: str) -> dict[str, Any]:
    """Return a proxy's config with one backend and the guard."""
    parameters = {"model": "hosted_vllm/gemma3", "api_base": f"{backend}/v1"}
    return {
        "model_list": [{"model_name": "gemma3", "litellm_params": parameters}],
        "litellm_settings": {"callbacks": ["litellm_role_guard.role_guard"]},
    }


def user_of(image: Mapping[str, Any], files: Path) -> int:
    """Return the number of an image's user."""
    user = str(image.get("User") or "0")
    return int(user) if user.isdigit() else int(_entry(files, 0, user)[2])


def _home(user: int, files: Path) -> str:
    return _entry(files, 2, str(user))[5]


def _entry(files: Path, column: int, value: str) -> list[str]:
    lines = (line.split(":") for line in (files / "etc/passwd").read_text().splitlines())
    return next(line for line in lines if line[column] == value)


def _tmpfs(written: Iterable[str]) -> Iterable[dict[str, Any]]:
    for each in written:
        where, _, options = each.partition(":")
        yield {
            "destination": where,
            "type": "tmpfs",
            "source": "tmpfs",
            "options": ["nosuid", "nodev", *(options.split(",") if options else ["mode=1777"])],
        }


def _bound(path: Path, where: str) -> dict[str, Any]:
    return {"destination": where, "type": "bind", "source": str(path), "options": ["rbind", "ro"]}
