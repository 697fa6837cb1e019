"""Keys with metadata for a proxy without a database: its `custom_auth`."""

from __future__ import annotations

from typing import Any

from litellm.proxy._types import LitellmUserRoles, UserAPIKeyAuth

KEYS: dict[str, dict[str, Any]] = {
    "sk-plain": {},
    "sk-opted-out": {"metadata": {"opted_out_global_guardrails": ["role-guard"]}},
    "sk-team-without": {
        "team_id": "without",
        "team_metadata": {"disable_global_guardrails": True},
    },
    "sk-admin": {"user_role": LitellmUserRoles.PROXY_ADMIN},
}


async def user_api_key_auth(request: Any, api_key: str) -> UserAPIKeyAuth:
    """Return who has a key."""
    return UserAPIKeyAuth(api_key=api_key, **KEYS[api_key])
