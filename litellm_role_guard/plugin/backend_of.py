"""How the backend of a LiteLLM call is asked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import litellm

from ..backend.backend import Backend, sent_along
from . import litellm_internals
from .borrowing_client import original_arguments
from .litellm_internals import PROVIDER, http_handler, with_credential


def backend_of(kwargs: Mapping[str, Any], name: str, own: Mapping[str, Any]) -> Backend | None:
    """Return how the backend of a call is asked; None without an address.

    Args:
        kwargs: The arguments of LiteLLM's call to a hosted_vllm deployment.
        name: What the log calls the deployment.
        own: The arguments that the deployment has by itself, whatever a client brings along.
    """
    kwargs = with_credential(original_arguments(kwargs))
    # As in `litellm.main` and `HostedVLLMChatConfig`.
    url = kwargs.get("api_base") or kwargs.get("base_url") or litellm.api_base
    url = url or os.environ.get("HOSTED_VLLM_API_BASE")
    key = kwargs.get("api_key") or litellm.api_key or os.environ.get("HOSTED_VLLM_API_KEY")
    if not isinstance(url, str):
        return None
    verify = kwargs.get("ssl_verify")
    return Backend(
        name=name,
        url=url.partition("/chat/completions")[0],  # LiteLLM takes the whole path as well
        model=str(kwargs["model"]).removeprefix(f"{PROVIDER}/"),
        api_key=key if isinstance(key, str) else None,
        verify=True if verify is None else verify,
        handler=http_handler(kwargs) if litellm_internals.AVAILABLE else None,
        **sent_along(own),
    )
