"""The arguments of a LiteLLM call, and what they say."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from ..backend.backend import Backend
from ..endpoints.anthropic import find_anthropic_error
from ..endpoints.chat import ChatConversation
from ..endpoints.conversation import RequestConversation
from ..endpoints.responses import ResponsesInput, UnreadableInputError
from ..endpoints.responses_validation import find_input_error
from ..messages.validation import find_validation_error
from .backend_of import backend_of
from .litellm_internals import PROVIDER, to_vllm_messages
from .settings import KEY, DeploymentSettings

CHAT, RESPONSES, ANTHROPIC = "acompletion", "aresponses", "anthropic_messages"


PROXY_MODULE = "litellm.proxy.proxy_server"


REQUEST_FIELD = {CHAT: "messages", RESPONSES: "input"}


def endpoint_of(call_type: Any) -> str | None:
    name = getattr(call_type, "value", call_type)
    return name if name in (CHAT, RESPONSES) else None


def is_vllm(kwargs: Mapping[str, Any]) -> bool:
    model = kwargs.get("model")
    if isinstance(model, str) and model.startswith(f"{PROVIDER}/"):
        return True
    return kwargs.get("custom_llm_provider") == PROVIDER


def is_asked(kwargs: Mapping[str, Any]) -> bool:
    """Tell whether the backend may be asked what its template takes.

    Not one whose address or key a client has brought along, which LiteLLM marks: a client would
    choose whom the proxy asks, and whose template it renders.
    """
    return is_vllm(kwargs) and not model_info(kwargs).get("original_model_id")


def metadata_field(kwargs: Mapping[str, Any], field: str) -> str | None:
    for name in ("metadata", "litellm_metadata"):
        metadata = kwargs.get(name)
        value = metadata.get(field) if isinstance(metadata, Mapping) else None
        if value:
            return str(value)
    return None


def group_of(kwargs: Mapping[str, Any]) -> str:
    return metadata_field(kwargs, "model_group") or str(kwargs.get("model"))


def model_info(kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    info = kwargs.get("model_info")
    return info if isinstance(info, Mapping) else {}


def name_of(kwargs: Mapping[str, Any]) -> str:
    return str(model_info(kwargs).get("id") or f"{kwargs.get('model')} at {kwargs.get('api_base')}")


def key_of(kwargs: Mapping[str, Any]) -> tuple[str, str]:
    # The deployment of a wildcard, `hosted_vllm/*`, serves models with templates of their own.
    return name_of(kwargs), str(kwargs.get("model")).removeprefix(f"{PROVIDER}/")


def backend_of_call(kwargs: Mapping[str, Any]) -> Backend | None:
    return backend_of(kwargs, name_of(kwargs), own_arguments(kwargs))


def backend_of_deployment(deployment: Mapping[str, Any]) -> Backend | None:
    own = deployment["litellm_params"]
    kwargs = {**own, "model_info": deployment.get("model_info")}
    return backend_of(kwargs, name_of(kwargs), own) if is_vllm(kwargs) else None


def own_arguments(kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give a deployment's own `litellm_params`; the call's arguments where no proxy knows them.

    A client's headers and template variables are no part of what the deployment is.
    """
    server = sys.modules.get(PROXY_MODULE)
    router = getattr(server, "llm_router", None)
    deployment_id = model_info(kwargs).get("id")
    if router is None or deployment_id is None:
        return kwargs
    deployment = router.get_deployment(model_id=str(deployment_id))
    if deployment is None:
        return kwargs
    own: dict[str, Any] = deployment.litellm_params.model_dump(exclude_none=True)
    return own


def owner_of(kwargs: Mapping[str, Any]) -> tuple[str | None, ...]:
    """Give who asks, as the proxy found out; `metadata` is what the client says."""
    metadata = kwargs.get("litellm_metadata")
    if not isinstance(metadata, Mapping):
        metadata = {}
    return tuple(metadata.get(f"user_api_key_{field}") for field in ("hash", "user_id", "team_id"))


def own_settings(kwargs: Mapping[str, Any]) -> object:
    return model_info(kwargs).get(KEY)


def request_fault(
    data: Mapping[str, Any], call_type: str, settings: DeploymentSettings
) -> str | None:
    if call_type == ANTHROPIC:
        return find_anthropic_error(data.get("messages"), data.get("system"))
    if call_type == RESPONSES:
        return find_input_error(
            data.get("input"),
            data.get("instructions"),
            continued=bool(data.get("previous_response_id")),
            extra_roles=settings.extra_roles,
        )
    fault = find_validation_error(as_dicts(data.get("messages")), extra_roles=settings.extra_roles)
    return None if fault is None else str(fault)


def as_dicts(messages: Any) -> Any:
    # In Python the messages of earlier answers, pydantic objects, are sent back as they came. To
    # ask each message for its class costs far more than to see that all are dicts.
    if not isinstance(messages, Sequence) or set(map(type, messages)) == {dict}:
        return messages
    if any(isinstance(m, BaseModel) for m in messages):
        return [
            m.model_dump(exclude_none=True) if isinstance(m, BaseModel) else m for m in messages
        ]
    return messages


def conversation_of(kwargs: Mapping[str, Any], endpoint: str) -> RequestConversation | None:
    """Read a request; None where the guard cannot know what the template will see."""
    if extra_field(kwargs, "chat_template"):
        return None  # the request brings its own template
    if endpoint == CHAT:
        messages = as_dicts(kwargs["messages"])
        last = messages[-1]
        continued = extra_field(kwargs, "continue_final_message") or last.get("prefix")
        model = str(kwargs["model"])
        return ChatConversation(
            messages,
            prefill=last["role"] == "assistant" and bool(continued),
            developer_is_system=is_vllm(kwargs),
            to_vllm_messages=lambda repaired: to_vllm_messages(repaired, model),
        )
    if kwargs.get("previous_response_id"):
        return None  # the backend puts messages in front that only it knows
    try:
        return ResponsesInput(kwargs["input"], kwargs.get("instructions"))
    except UnreadableInputError:
        return None


def extra_field(kwargs: Mapping[str, Any], name: str) -> Any:
    body = kwargs.get("extra_body")
    return kwargs.get(name) or (body.get(name) if isinstance(body, Mapping) else None)
