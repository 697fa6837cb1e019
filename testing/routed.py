"""A model group whose deployments differ in their address."""

from __future__ import annotations

from typing import Any

from litellm_role_guard.routing.prefix import (
    OPENING_CHARS,
)

LONG = "x" * OPENING_CHARS


class _Request:
    """Stands for LiteLLM's logging object."""

    call_type = "acompletion"


def deployment(at: int, **params: Any) -> dict[str, Any]:
    """Give a deployment as LiteLLM hands it to its callbacks."""
    address = {"model": "hosted_vllm/gemma3", "api_base": f"http://gpu-{at}:8000/v1"}
    return {
        "model_name": "gemma3",
        "litellm_params": {**address, **params},
        "model_info": {"id": f"id-{at}"},
    }
