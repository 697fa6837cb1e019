"""The arguments of a LiteLLM call as one value that answers what the guard asks of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from ..backend.address import shown_address
from ..backend.backend import Backend
from ..config.settings import KEY
from ..endpoints.chat import ChatConversation, as_dicts
from ..endpoints.conversation import RequestConversation
from ..endpoints.responses import ResponsesInput
from .backend_of import backend_of
from .litellm_internals import (
    PROVIDER,
    PROXY_MODULE,
    SYSTEM_NOTE,
    caller_of,
    named_by_backend,
    to_vllm_messages,
)

CHAT, RESPONSES, ANTHROPIC = "acompletion", "aresponses", "anthropic_messages"

GENERATE_CONTENT = ("agenerate_content", "agenerate_content_stream")

TRANSLATED = (ANTHROPIC, *GENERATE_CONTENT)
"""The call types of which LiteLLM makes a chat completion, and leaves out what it does not know."""

REQUEST_FIELD = {CHAT: "messages", RESPONSES: "input", ANTHROPIC: "messages"}
REQUEST_FIELD |= dict.fromkeys(GENERATE_CONTENT, "contents")
"""Where the conversation stands in a request, by the call type."""

# What a client may choose the length of is not logged at any length.
_LOGGED_CHARS = 100

# What the guard reads elsewhere, and `extra_body` would replace in the body that is sent.
_READ_FIELDS = frozenset(("messages", "input", "instructions", "model", "tools"))


def endpoint_of(call_type: Any) -> str | None:
    """Return `CHAT` or `RESPONSES` for LiteLLM's call type; None for every other call."""
    name = getattr(call_type, "value", call_type)
    return name if name in (CHAT, RESPONSES) else None


class LiteLLMRequest:
    """One call of LiteLLM's to one deployment.

    Args:
        arguments: The call's arguments, as the hooks are given them. They are not changed.
    """

    __slots__ = ("arguments",)

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self.arguments = arguments

    @classmethod
    def to_deployment(
        cls, deployment: Mapping[str, Any], group: str, own_name: str | None = None
    ) -> LiteLLMRequest:
        """Return the call that would be made to a deployment of the router's.

        Args:
            deployment: An entry of the router's model list.
            group: The model group that the client asks for.
            own_name: The deployment's own `model_name`, where the entry has an alias in its place.
        """
        own = deployment["model_name"] if own_name is None else own_name
        metadata = {"model_group": group, "deployment_model_name": own}
        info = deployment.get("model_info")
        return cls({**deployment["litellm_params"], "metadata": metadata, "model_info": info})

    @property
    def is_vllm(self) -> bool:
        """Whether it goes to a hosted_vllm deployment."""
        return self._is_named_vllm or self.arguments.get("custom_llm_provider") == PROVIDER

    @property
    def is_sent_as_vllm(self) -> bool:
        """Whether LiteLLM sends it by its code for hosted_vllm.

        A client may name another provider in its body, whose code wants a client of its own.
        """
        return self.is_vllm and self.arguments.get("custom_llm_provider") in (None, PROVIDER)

    @property
    def _is_named_vllm(self) -> bool:
        model = self.arguments.get("model")
        return isinstance(model, str) and model.startswith(f"{PROVIDER}/")

    @property
    def may_ask_backend(self) -> bool:
        """Whether the backend may be asked what its template takes.

        Not one whose address or key a client has brought along, which LiteLLM marks: a client would
        choose whom the proxy asks, and whose template it renders.
        """
        return self.is_vllm and not self.model_info.get("original_model_id")

    @property
    def model_info(self) -> Mapping[str, Any]:
        """The deployment's `model_info`; empty where there is none."""
        info = self.arguments.get("model_info")
        return info if isinstance(info, Mapping) else {}

    @property
    def own_settings(self) -> object:
        """The deployment's own settings as written, or None."""
        return self.model_info.get(KEY)

    @property
    def group(self) -> str:
        """The model group that the client asked for."""
        return self._metadata("model_group") or str(self.arguments.get("model"))

    @property
    def names(self) -> tuple[str, ...]:
        """The group, which may be an alias or a deployment's id, and the deployment's own name."""
        own = self._metadata("deployment_model_name")
        return (self.group, own) if own else (self.group,)

    @property
    def deployment_name(self) -> str:
        """What the log calls the deployment: its id, or its model and address."""
        if own := self.model_info.get("id"):
            return str(own)
        model, address = self.arguments.get("model"), self.arguments.get("api_base")
        return f"{model} at {shown_address(address) if isinstance(address, str) else address}"

    def log_details(self) -> Callable[[], dict[str, str]]:
        """Return a function for what the log names beside the group and the deployment.

        It holds nothing of the request that would keep LiteLLM's logging object, which the report
        goes with, from being dropped.
        """
        model, address = self._served_model, self.arguments.get("api_base")
        request_id, caller = self.arguments.get("litellm_call_id"), caller_of(self.arguments)
        is_deployment = bool(address or self.model_info)  # or the model is a group's name

        def details() -> dict[str, str]:
            named = {
                "model": model if is_deployment else None,
                "address": shown_address(address) if isinstance(address, str) else None,
                "request_id": request_id,
                "key_alias": getattr(caller, "key_alias", None),
                "team": getattr(caller, "team_alias", None) or getattr(caller, "team_id", None),
            }
            return {name: str(value or "")[:_LOGGED_CHARS] for name, value in named.items()}

        return details

    @property
    def _served_model(self) -> str:
        return str(self.arguments.get("model")).removeprefix(f"{PROVIDER}/")

    @property
    def key(self) -> tuple[str, str]:
        """What tells the deployment from others.

        That of a wildcard, `hosted_vllm/*`, serves models with templates of their own.
        """
        told = self.model_info.get("id") or self.arguments.get("api_base")
        return str(told), self._served_model

    @property
    def owner(self) -> tuple[str | None, ...]:
        """Who asks, as the proxy found out; `metadata` is what the client says."""
        metadata = self.arguments.get("litellm_metadata")
        if not isinstance(metadata, Mapping):
            metadata = {}
        return tuple(
            metadata.get(f"user_api_key_{field}") for field in ("hash", "user_id", "team_id")
        )

    @property
    def logging_object(self) -> Any:
        """LiteLLM's logging object, the one thing that all hooks of a request share, or None."""
        return self.arguments.get("litellm_logging_obj")

    @property
    def response_id(self) -> str | None:
        """The `previous_response_id` as the backend gave it; None where there is none."""
        before = self.arguments.get("previous_response_id")
        return named_by_backend(before) if before and isinstance(before, str) else None

    @property
    def shown_response_id(self) -> str:
        """The `response_id` of a call about an earlier response, as its client sent it."""
        received = self.arguments.get("proxy_server_request")
        url = received.get("url") if isinstance(received, Mapping) else None
        path = urlsplit(str(url)).path if url else ""
        return path.rpartition("/")[2] or str(self.arguments.get("response_id"))

    @property
    def brings_template(self) -> bool:
        """Whether the client has the request rendered by a template or variables of its own.

        What the backend refuses then says nothing of anybody else's requests.
        """
        if self.extra("chat_template") or self.extra("documents"):
            return True
        name = "chat_template_kwargs"
        variables = self._extras(name)
        # Most requests have none; to look a deployment up costs more than all of a clean repair.
        if not variables:
            return False
        if any(isinstance(given, Mapping) and "chat_template" in given for given in variables):
            return True
        own = LiteLLMRequest(self._own_arguments()).extra(name)
        return any(given != own for given in variables)

    @property
    def teaches(self) -> bool:
        """Whether a refusal of it says anything of other requests to the deployment.

        Not where the client has chosen what renders the conversation: the template or its
        variables, the provider, the address, or the fields of the body themselves.
        """
        if self.brings_template or self.model_info.get("original_model_id"):
            return False
        if self.is_vllm and not self.is_sent_as_vllm:
            return False
        body = self.arguments.get("extra_body")
        return not isinstance(body, Mapping) or _READ_FIELDS.isdisjoint(body)

    @property
    def keys(self) -> tuple[str, ...]:
        """The hashes of the API key, wherever the proxy puts it; empty without a proxy.

        A client may claim a further one, and is then nobody else either.
        """
        name = "user_api_key_hash"
        given = (self.arguments.get("metadata"), self.arguments.get("litellm_metadata"))
        found = {str(each[name]) for each in given if isinstance(each, Mapping) and each.get(name)}
        return tuple(sorted(found))

    def extra(self, name: str) -> Any:
        """Return a field of the body that LiteLLM takes as an argument or in `extra_body`."""
        given = self._extras(name)
        return given[0] if given else None

    def backend(self) -> Backend | None:
        """Return how the backend is asked; None without an address, or for another provider."""
        if not self.is_vllm:
            return None
        return backend_of(self.arguments, self.deployment_name, self._own_arguments())

    def conversation(self, endpoint: str) -> RequestConversation | None:
        """Return the request's messages; None where nobody knows what the template will see.

        Args:
            endpoint: `CHAT` or `RESPONSES`.
        """
        if self.extra("chat_template"):
            return None  # the request brings its own template
        if endpoint == CHAT:
            return self._chat()
        if self.arguments.get("previous_response_id"):
            return None  # the backend puts messages in front that only it knows
        return ResponsesInput(self.arguments["input"], self.arguments.get("instructions"))

    def _chat(self) -> ChatConversation:
        messages = as_dicts(self.arguments["messages"])
        last = messages[-1]
        continued = self.extra("continue_final_message") or last.get("prefix")
        model = str(self.arguments["model"])
        return ChatConversation(
            messages,
            prefill=last["role"] == "assistant" and bool(continued),
            is_vllm=self.is_sent_as_vllm,
            to_vllm_messages=lambda repaired: to_vllm_messages(repaired, model),
            note=SYSTEM_NOTE,
        )

    def _extras(self, name: str) -> list[Any]:
        body = self.arguments.get("extra_body")
        in_body = body.get(name) if isinstance(body, Mapping) else None
        return [given for given in (self.arguments.get(name), in_body) if given]

    def _metadata(self, field: str) -> str | None:
        for name in ("metadata", "litellm_metadata"):
            metadata = self.arguments.get(name)
            value = metadata.get(field) if isinstance(metadata, Mapping) else None
            if value:
                return str(value)
        return None

    def _own_arguments(self) -> Mapping[str, Any]:
        """Return a deployment's own `litellm_params`; the call's where no proxy knows them.

        A client's headers and template variables are no part of what the deployment is.
        """
        router = getattr(sys.modules.get(PROXY_MODULE), "llm_router", None)
        deployment_id = self.model_info.get("id")
        if router is None or deployment_id is None:
            return self.arguments
        deployment = router.get_deployment(model_id=str(deployment_id))
        if deployment is None:
            return self.arguments
        own: dict[str, Any] = deployment.litellm_params.model_dump(exclude_none=True)
        return own
