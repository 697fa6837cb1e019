"""By which names a deployment's metrics are labelled: what the config says, and no client."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from ..observability.metrics import OTHER
from .litellm_internals import PROVIDER, PROXY_MODULE
from .request import LiteLLMRequest


def metric_labels(request: LiteLLMRequest) -> tuple[str, str]:
    """Return the labels of a request's deployment: its group, and its model and address.

    In a proxy they are what its router has under the deployment's id. A client can make up the
    name of a wildcard's model, bring an address of its own, and write metadata.

    Args:
        request: LiteLLM's call to the deployment.
    """
    if PROXY_MODULE not in sys.modules:
        # LiteLLM as a library: the application chooses the names.
        return request.names[-1], _name(request.arguments)
    router = getattr(sys.modules[PROXY_MODULE], "llm_router", None)
    model_id = request.model_info.get("id")
    own = None
    if (
        router is not None
        and model_id is not None
        and not request.model_info.get("original_model_id")
    ):
        own = router.get_deployment(model_id=str(model_id))
    if own is None:
        return OTHER, OTHER
    return own.model_name, _name(own.litellm_params.model_dump(include={"model", "api_base"}))


def _name(params: Mapping[str, Any]) -> str:
    """Return a model and the address of its backend, without anything that may be a credential."""
    model = str(params.get("model")).removeprefix(f"{PROVIDER}/")
    # A password may hold any of the characters that end a host, a query may hold a key.
    address = str(params.get("api_base") or "").rpartition("@")[2].rpartition("//")[2]
    for end in "?#":
        address = address.partition(end)[0]
    address = address.rstrip("/").removesuffix("/v1")
    return f"{model} at {address}" if address else model
