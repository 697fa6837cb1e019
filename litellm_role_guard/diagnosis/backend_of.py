"""How the backend of a configured deployment is asked."""

from __future__ import annotations

from ..backend.address import shown_address
from ..backend.backend import Backend, sent_along
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
    verify = params.get("ssl_verify")
    return Backend(
        name=f"{deployment.served_model} at {shown_address(url)}",
        url=url,
        model=deployment.served_model,
        api_key=deployment.api_key,
        verify=True if verify is None else verify,
        **sent_along(params),
    )
