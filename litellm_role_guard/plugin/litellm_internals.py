"""Names of LiteLLM's that it does not promise to keep, each with a fallback."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from typing import Any

import litellm

from ..observability.log import log_failure

__all__ = [
    "AVAILABLE",
    "PROVIDER",
    "PROXY_MODULE",
    "SYSTEM_NOTE",
    "AsyncHTTPHandler",
    "caller_of",
    "has_prometheus",
    "http_handler",
    "json_formatter",
    "keep_late_system",
    "name_as_applied",
    "named_by_backend",
    "proxy_config_path",
    "proxy_config_state",
    "proxy_redis",
    "proxy_router",
    "router_model_list",
    "signing_secret",
    "to_vllm_messages",
    "with_credential",
]

try:
    from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler, get_async_httpx_client
    from litellm.types.utils import LlmProviders
except ImportError:
    AVAILABLE = False
    AsyncHTTPHandler = object  # type: ignore[misc, assignment]
else:
    AVAILABLE = True


try:
    from litellm.litellm_core_utils.prompt_templates.mid_conversation_system import (
        CONVERTED_SYSTEM_NOTE,
    )
except ImportError:  # before 1.104 no such message became a note
    SYSTEM_NOTE: str | None = None
else:
    SYSTEM_NOTE = CONVERTED_SYSTEM_NOTE
"""How LiteLLM begins a user message that it has made of a late system message of /v1/messages."""


PROVIDER = "hosted_vllm"

PROXY_MODULE = "litellm.proxy.proxy_server"


def http_handler(kwargs: Mapping[str, Any]) -> Any:
    """Return the handler that LiteLLM would send a hosted_vllm call through."""
    if kwargs.get("client") is not None:
        return kwargs["client"]
    # The very handler that LiteLLM would take by itself (`llm_http_handler.py`).
    return get_async_httpx_client(
        llm_provider=LlmProviders(PROVIDER),
        params={"ssl_verify": kwargs.get("ssl_verify")},
        shared_session=kwargs.get("shared_session"),
    )


def caller_of(arguments: Mapping[str, Any]) -> Any:
    """Return the key that a call to the proxy was made with, as LiteLLM's `UserAPIKeyAuth`.

    LiteLLM puts the object itself among the metadata (`proxy/litellm_pre_call_utils.py`). What a
    client writes there is JSON, which makes no such object, so that none can be forged.

    Args:
        arguments: The arguments of LiteLLM's call, or the body of the request.

    Returns:
        None without a proxy, or where this version of LiteLLM has it elsewhere.
    """
    kind = getattr(sys.modules.get("litellm.proxy._types"), "UserAPIKeyAuth", None)
    if kind is None:
        return None
    for name in ("metadata", "litellm_metadata"):
        metadata = arguments.get(name)
        caller = metadata.get("user_api_key_auth") if isinstance(metadata, dict) else None
        if isinstance(caller, kind):
            return caller
    return None


def json_formatter() -> logging.Formatter | None:
    """Return what LiteLLM writes its lines with under `json_logs`; None where that is not set."""
    import litellm

    if not getattr(litellm, "json_logs", False):
        return None
    try:
        from litellm._logging import JsonFormatter
    except ImportError:
        return None
    formatter: logging.Formatter = JsonFormatter()  # type: ignore[no-untyped-call]
    return formatter


def has_prometheus() -> bool:
    """Return whether LiteLLM shows metrics: `prometheus` is among its callbacks."""
    try:
        callbacks = litellm.logging_callback_manager.get_all_callbacks()
    except AttributeError:
        callbacks = litellm.callbacks
    return any(
        each == "prometheus" or type(each).__name__ == "PrometheusLogger" for each in callbacks
    )


def name_as_applied(arguments: dict[str, Any], guardrail: str | None) -> None:
    """Name a guardrail in the header `x-litellm-applied-guardrails` of a request's answer.

    Args:
        arguments: LiteLLM's arguments of the call.
        guardrail: The guardrail's name.
    """
    from litellm.proxy.common_utils.callback_utils import (
        add_guardrail_to_applied_guardrails_header,
    )

    add_guardrail_to_applied_guardrails_header(arguments, guardrail)


def with_credential(kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a call's arguments with those of its named credential.

    LiteLLM itself looks these up only after its hooks (`litellm/utils.py`).
    """
    if not kwargs.get("litellm_credential_name"):
        return kwargs
    from litellm.utils import load_credentials_from_list

    completed = dict(kwargs)
    load_credentials_from_list(completed)
    return completed


def named_by_backend(response_id: str) -> str:
    """Return the id that a backend itself gave to a response.

    Args:
        response_id: The id as LiteLLM's clients know it, or the backend's own.
    """
    try:
        from litellm.responses.utils import ResponsesAPIRequestUtils as Ids

        return Ids.decode_previous_response_id_to_original_previous_response_id(response_id)
    except Exception as error:
        log_failure("LiteLLM's response ids cannot be read", error, logging.DEBUG)
        return response_id


def keep_late_system(model: str) -> None:
    """Have LiteLLM keep the late system messages of /v1/messages for a model (`register_model`).

    It asks for the capability that a deployment's `model_info` can declare, too.

    Args:
        model: The model's name, with its provider.
    """
    name = "supports_mid_conversation_system"
    try:
        import litellm

        if not (litellm.model_cost.get(model) or {}).get(name):
            litellm.register_model({model: {name: True, "litellm_provider": PROVIDER}})
    except Exception as error:
        log_failure("LiteLLM cannot be told to keep system messages", error, logging.DEBUG)


def to_vllm_messages(messages: list[Any], model: str) -> list[Any]:
    """Return messages as LiteLLM's hosted_vllm code would put them into the body.

    Args:
        messages: The messages, which may be changed.
        model: The model's name.
    """
    try:
        from litellm.llms.hosted_vllm.chat.transformation import HostedVLLMChatConfig

        body = HostedVLLMChatConfig().transform_request(model, messages, {}, {}, {})
    except Exception as error:
        # vLLM takes all of OpenAI's own forms; LiteLLM's code only brings other forms there.
        log_failure("LiteLLM's transform_request cannot be used", error, logging.DEBUG)
        return messages
    sent: list[Any] = body["messages"]
    return sent


def proxy_config_state() -> Mapping[str, Any] | None:
    """Return the config of the proxy with the values of its variables; None without a proxy."""
    server = sys.modules.get(PROXY_MODULE)
    try:
        config = server.proxy_config.get_config_state() if server else {}
    except AttributeError:
        return None
    return config if isinstance(config, Mapping) else None


def proxy_config_path() -> str | None:
    """Return the path of the proxy's config; None where it comes from elsewhere."""
    if os.environ.get("LITELLM_CONFIG_BUCKET_NAME") is not None:
        return None
    path = getattr(sys.modules.get(PROXY_MODULE), "user_config_file_path", None)
    return path if isinstance(path, str) else None


def signing_secret() -> str | None:
    """Return the secret that all workers of a proxy share; None where it has none.

    Source: LiteLLM `proxy/common_utils/encrypt_decrypt_utils.py` (`get_salt_key`).
    """
    master_key = getattr(sys.modules.get(PROXY_MODULE), "master_key", None)
    secret = os.environ.get("LITELLM_SALT_KEY") or master_key
    return secret if isinstance(secret, str) and secret else None


def proxy_router() -> Any:
    """Return the proxy's router; None without a proxy, or as long as there is none."""
    return getattr(sys.modules.get(PROXY_MODULE), "llm_router", None)


def proxy_redis() -> Any:
    """Return the Redis of the proxy's router; None where the config names none."""
    router = proxy_router()
    return None if router is None else router.cache.redis_cache


def router_model_list() -> list[Any] | None:
    """Return the deployments of the proxy's router; None as long as there is none."""
    found = getattr(proxy_router(), "model_list", None)
    return list(found) if isinstance(found, list) else None
