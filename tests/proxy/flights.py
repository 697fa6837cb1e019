"""A LiteLLM callback for tests: it tells in a response header what the guard counts in flight."""

from __future__ import annotations

import json
from typing import Any

from litellm.integrations.custom_logger import CustomLogger

from litellm_role_guard import role_guard


class Flights(CustomLogger):
    """Gives the counts to a request that asks for them with `x-flights`."""

    async def async_post_call_response_headers_hook(
        self,
        data: Any,
        user_api_key_dict: Any,
        response: Any,
        request_headers: Any = None,
        litellm_call_info: Any = None,
    ) -> dict[str, str]:
        """Give the requests in flight by backend, as JSON."""
        if "x-flights" not in (request_headers or {}):
            return {}
        return {"x-in-flight": json.dumps(role_guard._affinity.in_flight.counts)}


flights = Flights()
