"""`/role_guard` on the proxy: what the guard did lately, for admins.

The page itself holds nothing. It asks `/role_guard/recent` with the key of the admin who is logged
in to LiteLLM's UI in the same browser, or with one that is typed in. That address wants a key of an
admin's, as LiteLLM's own `user_api_key_auth` knows it.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable
from importlib.resources import files
from typing import Any

from ..observability.log import log_failure, logger
from .litellm_internals import PROXY_MODULE

PAGE, DATA = "/role_guard", "/role_guard/recent"

_ADMINS = ("proxy_admin", "proxy_admin_viewer")


def add_routes(shown: Callable[[], dict[str, Any]]) -> bool:
    """Add the page to the proxy; return whether there is one.

    Args:
        shown: Returns what is to be shown, as data for JSON.
    """
    app = getattr(sys.modules.get(PROXY_MODULE), "app", None)
    if app is None:
        return False
    try:
        _add(app, shown)
    except Exception as error:  # another version of LiteLLM or FastAPI
        log_failure("role guard cannot add its page to the proxy", error)
        return False
    logger.debug("what the guard does is shown to admins at %s", PAGE)
    return True


def _add(app: Any, shown: Callable[[], dict[str, Any]]) -> None:
    from fastapi import Depends, HTTPException
    from fastapi.responses import HTMLResponse, JSONResponse
    from litellm.proxy.auth.user_api_key_auth import user_api_key_auth

    html = (files(__package__) / "recent.html").read_text(encoding="utf-8")

    async def page() -> HTMLResponse:
        nonce = secrets.token_urlsafe(16)
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; "
            "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        headers = {"Content-Security-Policy": policy, "Cache-Control": "no-store"}
        return HTMLResponse(html.replace("{nonce}", nonce), headers=headers)

    async def recent(caller: Any = Depends(user_api_key_auth)) -> JSONResponse:  # noqa: B008
        role = getattr(caller, "user_role", None)
        if getattr(role, "value", role) not in _ADMINS:
            raise HTTPException(403, "role guard: only a proxy admin's key may see this")
        # Each worker of the proxy tells of its own: the next connection may meet another one.
        return JSONResponse(shown(), headers={"Connection": "close", "Cache-Control": "no-store"})

    app.add_api_route(PAGE, page, methods=["GET"], include_in_schema=False)
    app.add_api_route(DATA, recent, methods=["GET"], include_in_schema=False)
