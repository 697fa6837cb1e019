"""A LiteLLM proxy's own authentication for tests: what an admin has written about each key."""

from __future__ import annotations

from typing import Any

from fastapi import HTTPException
from litellm.proxy._types import UserAPIKeyAuth

ADMIN = "sk-role-guard-tests"

KEYS: dict[str, dict[str, Any]] = {
    ADMIN: {"user_role": "proxy_admin", "user_id": "admin"},
    "sk-viewer": {"user_role": "proxy_admin_viewer", "user_id": "viewer"},
    "sk-plain": {"key_alias": "plain key", "team_id": "t1", "team_alias": "research"},
    "sk-off": {"metadata": {"role_guard": {"mode": "off"}}},
    "sk-observed": {"metadata": {"role_guard": {"mode": "observe", "separator": "\n--\n"}}},
    "sk-team": {"team_metadata": {"role_guard": {"mode": "observe"}}},
    "sk-both": {
        "metadata": {"role_guard": {"mode": "repair"}},
        "team_metadata": {"role_guard": {"mode": "off", "separator": " / "}},
    },
    "sk-wrong": {"key_alias": "wrong", "metadata": {"role_guard": {"mdoe": "off"}}},
    "sk-template": {"metadata": {"role_guard": {"chat_template": "strict.jinja"}}},
}


async def user_api_key_auth(request: Any, api_key: str) -> UserAPIKeyAuth:
    """Return the key's record, as the admin made it; raise for an unknown key."""
    if api_key not in KEYS:
        raise HTTPException(401, "no such key")
    return UserAPIKeyAuth(api_key=api_key, **KEYS[api_key])
