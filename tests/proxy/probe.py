"""A LiteLLM callback for tests: it tells in response headers what the proxy process holds."""

from __future__ import annotations

import asyncio
import gc
import os
from typing import Any

from aiohttp import BaseConnector
from litellm.integrations.custom_logger import CustomLogger

from litellm_role_guard.routing.in_flight import InFlight


class Probe(CustomLogger):
    """Counts tasks, descriptors, backend connections in use, and requests that the guard counts."""

    async def async_post_call_response_headers_hook(
        self,
        data: Any,
        user_api_key_dict: Any,
        response: Any,
        request_headers: Any = None,
        litellm_call_info: Any = None,
    ) -> dict[str, str]:
        """Give the counts as headers to a request that asks for them with `x-probe`."""
        if "x-probe" not in (request_headers or {}):
            return {}
        targets = []
        for descriptor in os.listdir("/proc/self/fd"):
            try:
                targets.append(os.readlink(f"/proc/self/fd/{descriptor}"))
            except FileNotFoundError:
                continue  # the listing's own
        sockets = sum(target.startswith("socket:") for target in targets)
        held = gc.get_objects()
        connectors = [one for one in held if isinstance(one, BaseConnector)]
        in_flight = [sum(one.counts.values()) for one in held if isinstance(one, InFlight)]
        counts = {
            "tasks": len(asyncio.all_tasks()),
            "sockets": sockets,
            "descriptors": len(targets),
            "in-use": sum(len(connector._acquired) for connector in connectors),
            "in-flight": sum(in_flight),
        }
        return {f"x-held-{name}": str(count) for name, count in counts.items()}


probe = Probe()
