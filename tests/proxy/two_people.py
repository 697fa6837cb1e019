"""A LiteLLM `custom_auth` for tests: each API key is a person, and no database is needed."""

from __future__ import annotations

from typing import Any

from litellm.proxy._types import UserAPIKeyAuth, hash_token


async def user_api_key_auth(request: Any, api_key: str) -> UserAPIKeyAuth:
    """Let everybody in, as who their key says they are."""
    return UserAPIKeyAuth(api_key=hash_token(api_key), user_id=f"user of {api_key}")
