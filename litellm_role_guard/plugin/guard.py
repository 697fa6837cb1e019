"""The LiteLLM plugin: it picks the deployment's profile, repairs, has refusals retried, reports.

Hooks are looked up in the class of the callback itself, so that all of them are defined here and
not in a base (LiteLLM `proxy/utils.py`, `_CallbackCapabilities`).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

import litellm
from litellm.exceptions import BadRequestError
from litellm.integrations.custom_logger import CustomLogger

from ..endpoints.anthropic import translatable
from ..endpoints.response_store import PendingResponse, ResponseStore
from ..observability.counts import Counts
from ..observability.log import log_failure, logger, show
from ..observability.report import HEADER, Report, explain
from ..profile.refusals import read_refusal
from ..repair.change import Change
from ..routing.affinity import PrefixAffinity
from .deployments import GLOBAL_PATH, Deployment, Deployments
from .guarded_call import GuardedCall
from .litellm_internals import PROVIDER, named_by_backend
from .request import (
    ANTHROPIC,
    CHAT,
    PROXY_MODULE,
    REQUEST_FIELD,
    RESPONSES,
    as_dicts,
    backend_of_call,
    backend_of_deployment,
    conversation_of,
    endpoint_of,
    group_of,
    is_asked,
    is_vllm,
    key_of,
    metadata_field,
    name_of,
    own_settings,
    owner_of,
    request_fault,
)
from .retrying_client import RetryingClient, observing_client, original_arguments, retrying_client
from .settings import KEY, DeploymentSettings, GuardSettings, SettingsError, misspelt, read_settings

_UNKNOWN_RESPONSE = (
    "role guard: neither the backend nor the guard knows the response that previous_response_id "
    "names: it was given to another key or by another worker of the proxy, or before a restart, or "
    "is too old; start a new chat, or send the whole conversation as input (in LiteLLM's "
    'Playground: turn "API session management" off)'
)


class RoleGuard(CustomLogger):
    """Brings each conversation into the form that the deployment's chat template takes and reads.

    In Python: `litellm.callbacks = [RoleGuard(chat_template="...")]`. Works for `acompletion`,
    `aresponses` and a `Router`'s, when `messages` or `input` is given by name; LiteLLM runs no
    deployment hooks for the synchronous calls.

    A refusal is answered by one repaired call on hosted_vllm deployments. For other providers,
    which `model_groups` may name, it is not: LiteLLM calls most of them, `openai` among them,
    through clients of their own that no client of the guard can stand in for. What such a refusal
    teaches is kept for later requests, one lesson at a time, so that a conversation may be refused
    more than once before it is repaired.

    Args:
        **settings: As under `callback_settings.role_guard` in config.yaml (`GuardSettings`).

    Attributes:
        settings: The settings of the whole guard.
        counts: What was done so far.

    Raises:
        SettingsError: A setting or the chat template cannot be used.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self._set_up(read_settings(settings, "RoleGuard", GuardSettings), "RoleGuard")

    @classmethod
    def from_config(cls) -> RoleGuard:
        """Give the guard that the proxy's config describes; the proxy does not start without it.

        Raises:
            SettingsError: A setting or a chat template, global or of a deployment, cannot be used.
        """
        if PROXY_MODULE in sys.modules:
            show()  # an application that uses LiteLLM as a library has logging of its own
        guard = cls()
        written = litellm.callback_settings or {}
        if not isinstance(written, Mapping):
            raise SettingsError(f"callback_settings: must be a mapping, not {written!r}")
        for warning in misspelt(written, "callback_settings"):
            logger.warning(warning)
        guard._set_up(read_settings(written.get(KEY), GLOBAL_PATH, GuardSettings), GLOBAL_PATH)
        guard._deployments.check(_configured_deployments())
        return guard

    def _set_up(self, settings: GuardSettings, path: str) -> None:
        self.settings = settings
        self.counts = Counts()
        self._deployments = Deployments(settings, path, counts=self.counts, cache=_redis)
        # LiteLLM's logging object is the one thing that all hooks of a request share.
        self._reports: WeakKeyDictionary[Any, Report] = WeakKeyDictionary()
        self._affinity = PrefixAffinity(backend_of_deployment)
        self._responses = ResponseStore()

    async def async_filter_deployments(
        self,
        model: str,
        healthy_deployments: list[Any],
        messages: Any,
        request_kwargs: dict[str, Any] | None = None,
        parent_otel_span: Any = None,
    ) -> list[Any]:
        """Rank the deployments of a group with `routing: prefix_affinity` for a conversation.

        None is ever left out, so that LiteLLM's own filters, some of which come later, and its
        strategy have their say.
        """
        try:
            if self._routes(model, healthy_deployments):
                request = self._with_stored_history(request_kwargs or {})
                ranked = self._affinity.ranked(healthy_deployments, as_dicts(messages), request)
                return healthy_deployments if ranked is None else ranked
        except Exception as error:
            self._failed(error)
        return healthy_deployments

    async def async_pre_call_hook(
        self, user_api_key_dict: Any, cache: Any, data: Any, call_type: str
    ) -> dict[str, Any] | None:
        """Answer a request that is no conversation at all with a 400 that says why.

        LiteLLM and its adapters would stumble over most of these before a deployment hook runs,
        and drop a developer message of /v1/messages, which is why it is renamed here.
        """
        try:
            reason = self._proxy_request_fault(data, call_type)
            if reason is None:
                return self._translatable(data) if call_type == ANTHROPIC else None
        except Exception as error:
            self._failed(error)
            return None
        # Of the errors that LiteLLM can raise, this one comes out clean on all endpoints.
        from litellm.proxy._types import ProxyException

        self.counts.add("bad_input")
        param = REQUEST_FIELD.get(call_type, "messages")
        raise ProxyException(message=reason, type="invalid_request_error", param=param, code=400)

    async def async_pre_call_deployment_hook(
        self, kwargs: dict[str, Any], call_type: Any
    ) -> dict[str, Any] | None:
        """Repair a request for the deployment that is about to get it.

        LiteLLM runs this for each retry and each fallback: a Router with the client's own
        messages, `acompletion(fallbacks=..., num_retries=...)` with what this hook gave before.
        """
        endpoint = endpoint_of(call_type)
        if endpoint is None:
            return None
        given: Mapping[str, Any] = kwargs
        changed = None
        try:
            given = original_arguments(kwargs)
            if given.get("litellm_logging_obj") in self._reports:
                del self._reports[given["litellm_logging_obj"]]  # of an earlier deployment
            if self._guards(given):
                changed = await self._repaired(given, endpoint)
                if self._is_routed(given):
                    changed = self._track_in_flight(given, changed)
        except _DeliberateError as error:
            self.counts.add(error.event)
            raise BadRequestError(
                message=str(error), model=kwargs["model"], llm_provider=PROVIDER
            ) from None
        except Exception as error:
            self._failed(error)
        if changed is None and given is not kwargs:
            return dict(given)
        return changed

    async def async_post_call_failure_deployment_hook(
        self,
        request_data: Mapping[str, Any],
        exception: Exception,
        call_type: Any,
        fallback_depth: int | None = None,
    ) -> None:
        """Learn from a refusal that no client of ours saw, for LiteLLM's own retry and later."""
        try:
            if endpoint_of(call_type) is None or not isinstance(exception, BadRequestError):
                return
            client = request_data.get("client")
            if isinstance(client, RetryingClient) and client.learns:
                return  # it has seen the refusal itself
            if not self._guards(request_data):
                return
            # The response that LiteLLM attaches is empty; the backend's words are in the message.
            refusal = read_refusal(str(exception))
            if refusal is not None:
                deployment = self._deployment(request_data)
                deployment.learn(refusal)
                if deployment.learner is not None and is_asked(request_data):
                    deployment.learner.on_refusal(lambda: backend_of_call(request_data))
        except Exception as error:
            self._failed(error)

    async def async_post_call_response_headers_hook(
        self,
        data: Mapping[str, Any],
        user_api_key_dict: Any,
        response: Any,
        request_headers: Mapping[str, str] | None = None,
        litellm_call_info: Mapping[str, Any] | None = None,
    ) -> dict[str, str] | None:
        """Give the response header that says what was done."""
        try:
            if data.get("litellm_logging_obj") not in self._reports:
                return None
            value = self._reports[data["litellm_logging_obj"]].header()
            return None if value is None else {HEADER: value}
        except Exception as error:
            self._failed(error)
            return None

    async def _repaired(self, kwargs: Mapping[str, Any], endpoint: str) -> dict[str, Any] | None:
        deployment = self._deployment(kwargs)
        settings = deployment.settings
        if settings.mode == "off" or REQUEST_FIELD[endpoint] not in kwargs:
            return None  # positional arguments do not reach the hooks
        report = Report(group_of(kwargs), name_of(kwargs), observed=settings.mode == "observe")
        reason = request_fault(kwargs, endpoint, settings)
        if reason is not None:
            if not report.observed:
                raise _DeliberateError("bad_input", reason)
            report.changes = (Change("bad_input", (), reason),)
            self.counts.add("bad_input")
            self._keep(report, kwargs)
            report.log()
            return None
        remembers = endpoint == RESPONSES and settings.mode == "repair"
        pending = None
        remembered: dict[str, Any] = {}
        if remembers and settings.remember_responses:
            pending = self._pending_response(kwargs)
        if pending is not None and pending.continues:
            remembered = {"input": pending.items(), "previous_response_id": None}
            report.remembered = True
            self.counts.add("remembered")
        conversation = conversation_of({**kwargs, **remembered} if remembered else kwargs, endpoint)
        if conversation is None:
            if remembered:
                self._keep(report, kwargs)
            client = observing_client(kwargs, remembered) if remembers and is_vllm(kwargs) else None
            return _changed(kwargs, remembered, client, pending)
        call = GuardedCall(
            conversation,
            deployment,
            backend=(lambda: backend_of_call(kwargs)) if is_asked(kwargs) else None,
            tools=kwargs.get("tools"),
            report=report,
            counts=self.counts,
        )
        arguments = await call.arguments()
        if settings.mode == "reject":
            if arguments is not None:
                raise _DeliberateError("rejected", explain(report.changes, conversation.location))
            return None
        self._keep(report, kwargs)
        if arguments is not None:
            self.counts.add("observed" if report.observed else "repaired")
        if report.observed:
            call.finished(answered=False)
            return None
        replaced = {**remembered, **(arguments or {})}
        client = retrying_client(kwargs, call, replaced) if is_vllm(kwargs) else None
        if client is None:
            call.finished(answered=False)  # nobody tells the guard whether it will be
        return _changed(kwargs, replaced, client, pending)

    def _pending_response(self, kwargs: Mapping[str, Any]) -> PendingResponse | None:
        """Give a /v1/responses request as the memory knows it; None where it does not."""
        try:
            before = kwargs.get("previous_response_id")
            named = named_by_backend(before) if before else None
            return self._responses.begin(owner_of(kwargs), kwargs["input"], named)
        except Exception as error:
            self._failed(error)
            return None

    def _with_stored_history(self, request: dict[str, Any]) -> dict[str, Any]:
        """Give a request with what its `previous_response_id` stands for, where that is known."""
        if not request.get("previous_response_id") or "input" not in request:
            return request
        pending = self._pending_response(request)
        if pending is None:
            return request
        return {**request, "input": pending.items(), "previous_response_id": None}

    def _track_in_flight(
        self, kwargs: Mapping[str, Any], changed: dict[str, Any] | None
    ) -> dict[str, Any] | None:
        """Count a request as in flight until the backend is through with it."""
        logging_object = kwargs.get("litellm_logging_obj")
        if logging_object is None:
            return changed
        flight, routed = self._affinity.sent(kwargs)
        if routed is not None:
            self.counts.add(f"routed_{routed}")
            if logging_object in self._reports:
                self._reports[logging_object].routed = routed
        arguments = kwargs if changed is None else changed
        client = arguments.get("client")
        if not isinstance(client, RetryingClient):
            client = observing_client(kwargs) if is_vllm(kwargs) else None
        if client is None:
            return changed  # it ends with LiteLLM's logging object
        client.flight = flight
        return {**arguments, "client": client}

    def _routes(self, group: str, deployments: object) -> bool:
        """Tell whether all of these deployments are to be chosen from by prefix affinity."""
        if not isinstance(deployments, list) or not deployments:
            return False
        return all(
            self._is_routed(
                {
                    **deployment["litellm_params"],
                    "metadata": {
                        "model_group": group,
                        "deployment_model_name": deployment["model_name"],
                    },
                    "model_info": deployment.get("model_info"),
                }
            )
            for deployment in deployments
        )

    def _is_routed(self, kwargs: Mapping[str, Any]) -> bool:
        settings = self._deployments.settings_for(own_settings(kwargs))
        return settings.routing == "prefix_affinity" and self._guards(kwargs)

    def _keep(self, report: Report, kwargs: Mapping[str, Any]) -> None:
        logging_object = kwargs.get("litellm_logging_obj")
        if logging_object is not None:
            self._reports[logging_object] = report

    def _guards(self, kwargs: Mapping[str, Any]) -> bool:
        if self.settings.model_groups is None:
            return is_vllm(kwargs)
        # What the client asked for may be an alias, or the id of a single deployment.
        own = metadata_field(kwargs, "deployment_model_name")
        return any(self.settings.names(name) for name in (group_of(kwargs), own) if name)

    def _deployment(self, kwargs: Mapping[str, Any]) -> Deployment:
        return self._deployments.get(key_of(kwargs), own_settings(kwargs))

    def _proxy_request_fault(self, data: Mapping[str, Any], call_type: str) -> str | None:
        if call_type not in (CHAT, RESPONSES, ANTHROPIC):
            return None
        if request_fault(data, call_type, self.settings) is None:
            return None
        # Whoever is to answer is not chosen yet: it is a fault only if it is one for all of them.
        reasons = [
            request_fault(data, call_type, settings)
            if settings is not None and settings.mode in ("repair", "reject")
            else None
            for settings in self._settings_of_group(data.get("model"))
        ]
        return reasons[0] if reasons and all(reasons) else None

    def _translatable(self, data: dict[str, Any]) -> dict[str, Any] | None:
        messages = translatable(data.get("messages"))
        if messages is None:
            return None
        settings = self._settings_of_group(data.get("model"))
        if not settings or any(each is None or each.mode != "repair" for each in settings):
            return None
        return {**data, "messages": messages}

    def _settings_of_group(self, group: object) -> list[DeploymentSettings | None]:
        """Give the settings of each deployment of a group; None for one that is not guarded."""
        from litellm.proxy.proxy_server import llm_router

        if llm_router is None or not isinstance(group, str):
            return []
        found: list[DeploymentSettings | None] = []
        listed: list[Any] = list(llm_router.get_model_list(model_name=group) or ())
        if not listed and (named := llm_router.get_deployment(model_id=group)) is not None:
            listed = [named.model_dump()]
        for deployment in listed:
            info = deployment.get("model_info")
            # An alias's list has the alias in place of the name that the deployment has itself.
            itself = llm_router.get_deployment(model_id=str((info or {}).get("id")))
            own_name = deployment["model_name"] if itself is None else itself.model_name
            kwargs = {
                **deployment["litellm_params"],
                "metadata": {"model_group": group, "deployment_model_name": own_name},
                "model_info": info,
            }
            own = self._deployments.settings_for(own_settings(kwargs))
            found.append(own if self._guards(kwargs) else None)
        return found

    def _failed(self, error: Exception) -> None:
        self.counts.add("failed")
        log_failure("role guard failed; the request goes on unchanged", error)


class _DeliberateError(Exception):
    """A request is to be answered with a 400."""

    def __init__(self, event: str, reason: str) -> None:
        super().__init__(f"role guard: {reason}")
        self.event = event


def _redis() -> Any:
    """Give the Redis of the proxy's router, which `router_settings` or the cache's bring along."""
    router = getattr(sys.modules.get(PROXY_MODULE), "llm_router", None)
    return None if router is None else router.cache.redis_cache


def _changed(
    kwargs: Mapping[str, Any],
    replaced: Mapping[str, Any],
    client: RetryingClient | None,
    pending: PendingResponse | None,
) -> dict[str, Any] | None:
    """Give a call's arguments with some replaced, and with a client that sees what comes of it."""
    if not replaced and client is None:
        return None
    changed = {**kwargs, **replaced}
    if client is not None:
        changed["client"] = client
        if pending is not None and kwargs.get("store") is not False:
            client.on_response = pending.answered
        if changed.get("previous_response_id"):
            client.unknown_response = _UNKNOWN_RESPONSE
    return changed


def _configured_deployments() -> list[object]:
    # At this point of its start the proxy has read its config, but has built no router yet.
    server = sys.modules.get(PROXY_MODULE)
    try:
        config = server.proxy_config.get_config_state() if server else {}
        listed = config.get("model_list")
        return listed if isinstance(listed, list) else []
    except AttributeError:
        # Another version of LiteLLM: these settings are then read at the first request.
        logger.warning("the deployments' own settings cannot be checked at start")
        return []


role_guard = RoleGuard.from_config()
