"""How the backend of a configured deployment is asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..backend.address import shown_address
from ..backend.backend import Backend
from ..config.deployment import ConfiguredDeployment


def backend_of(deployment: ConfiguredDeployment) -> Backend | None:
    """Return how a deployment's backend is asked; None without an address.

    The plugin's own `backend_of` does the same for a request, with LiteLLM's help.

    Args:
        deployment: The deployment.
    """
    address, params = deployment.address, deployment.params
    if address is None:
        return None
    url = address.partition("/chat/completions")[0]
    body = params.get("extra_body")
    variables = params.get("chat_template_kwargs")
    if variables is None and isinstance(body, Mapping):
        variables = body.get("chat_template_kwargs")
    headers: dict[str, Any] = {}
    for name in ("headers", "extra_headers"):
        if isinstance(params.get(name), Mapping):
            headers.update(params[name])
    verify = params.get("ssl_verify")
    return Backend(
        name=f"{deployment.served_model} at {shown_address(url)}",
        url=url,
        model=deployment.served_model,
        api_key=deployment.api_key,
        headers={str(header): str(value) for header, value in headers.items()},
        fields={"chat_template_kwargs": variables} if isinstance(variables, Mapping) else {},
        verify=True if verify is None else verify,
    )
