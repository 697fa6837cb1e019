"""The Redis over which proxies share what they have learnt."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from ..backend.address import shown_address
from ..backend.server import one_line
from ..config.proxy_config import ProxyConfig
from ..config.yaml_file import KeyPath
from .finding import Finding

SECONDS = 3.0
"""How long the Redis may take to answer."""


async def examine_redis(
    config: ProxyConfig, variables: Mapping[str, str] = os.environ
) -> tuple[str, list[Finding]]:
    """Return what a config's Redis says, and what is wrong with it.

    Args:
        config: The config.
        variables: The environment, for what LiteLLM falls back on.
    """
    path, url = _address(config, variables)
    if url is None:
        router = config.mapping("router_settings")
        if router.get("redis_host") and not router.get("redis_port"):
            what = "without redis_port LiteLLM's router uses no Redis"
            fault = Finding(
                "warning", ("router_settings", "redis_host"), what, "redis_port: 6379 beside it"
            )
            return "not used", [fault]
        return "none: each worker of a proxy asks the backends itself", []
    try:
        client = importlib.import_module("redis.asyncio")
    except ImportError:
        return "not asked: the package redis is not installed", []
    shown = shown_address(url)
    connection: Any = client.Redis.from_url(
        url, socket_timeout=SECONDS, socket_connect_timeout=SECONDS
    )
    try:
        await connection.ping()
    except Exception as error:  # whatever a Redis or its client may raise
        what = f"{shown} cannot be used: {one_line(str(error)) or type(error).__name__}"
        return "does not answer", [Finding("error", path, what)]
    finally:
        await connection.aclose()
    return f"answers at {shown}", []


def _address(config: ProxyConfig, variables: Mapping[str, str]) -> tuple[KeyPath, str | None]:
    """Return where a Redis stands in the config, and its address; None where there is none.

    Source: LiteLLM `router.py` (`Router.__init__`), `proxy/proxy_server.py` (`load_config`).
    """
    router = config.mapping("router_settings")
    if router.get("redis_url"):
        return ("router_settings", "redis_url"), str(router["redis_url"])
    if router.get("redis_host") and router.get("redis_port"):
        given = {key: router.get(f"redis_{key}") for key in ("host", "port", "password")}
        return ("router_settings", "redis_host"), _url(given)
    path: KeyPath = ("litellm_settings", "cache_params")
    params = config.mapping(*path)
    if config.mapping("litellm_settings").get("cache") is True and (
        params.get("type", "redis") in ("redis", "redis-semantic")
    ):
        names = ("url", "host", "port", "password", "ssl")
        found = {key: params.get(key) or variables.get(f"REDIS_{key.upper()}") for key in names}
        return path, found["url"] or (_url(found) if found["host"] else None)
    return ("router_settings",), None


def _url(given: Mapping[str, Any]) -> str:
    scheme = "rediss" if str(given.get("ssl")).lower() == "true" else "redis"
    password = f":{quote(str(given['password']), safe='')}@" if given.get("password") else ""
    host = str(given["host"])
    return f"{scheme}://{password}{host}:{given.get('port') or 6379}"
