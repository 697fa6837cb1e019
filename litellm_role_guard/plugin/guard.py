"""The LiteLLM plugin: the hooks, and the guard that they call.

Hooks are looked up in the class of the callback itself, so that all of them are defined here and
not in a base (LiteLLM `proxy/utils.py`, `_CallbackCapabilities`).
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from litellm.exceptions import BadRequestError
from litellm.integrations.custom_logger import CustomLogger

from ..config.settings import KEY, GuardSettings, SettingsError, read_settings
from ..endpoints.chat import as_dicts
from ..endpoints.response_store import ResponseStore
from ..observability.counts import Counts
from ..observability.log import level_named, log_failure, logger, show
from ..observability.metrics import Metrics
from ..observability.recent import RecentRepairs
from ..observability.report import HEADER
from ..routing.affinity import PrefixAffinity
from .admin_routes import add_routes
from .borrowing_client import original_arguments
from .call_plan import CallPlan
from .deployments import GLOBAL_PATH, Deployments
from .guarded_call import GuardedCall
from .guarded_groups import GuardedGroups
from .guardrail_entries import GuardrailEntries
from .in_flight_stream import InFlightEnd, note_reader
from .litellm_internals import (
    PROVIDER,
    PROXY_MODULE,
    caller_of,
    has_prometheus,
    json_formatter,
    proxy_redis,
    proxy_router,
)
from .observer import RequestObserver
from .other_calls import OtherCalls
from .reports import Reports
from .request import REQUEST_FIELD, RESPONSES, TRANSLATED, LiteLLMRequest, endpoint_of
from .request_errors import DeliberateError
from .request_guard import RequestGuard
from .retrying_client import is_made_by_us
from .start import StartReport, check_at_start, read_proxy_config
from .steering import Steering, requested_settings, steering_of, without_settings
from .warm_up import WarmUp


class RoleGuard(CustomLogger):
    """Brings each conversation into the form that the deployment's chat template takes and reads.

    In Python: `litellm.callbacks = [RoleGuard(chat_template="...")]`. Works for `acompletion`,
    `aresponses` and a `Router`'s, when `messages` or `input` is given by name; LiteLLM runs no
    deployment hooks for the synchronous calls.

    A refusal is answered by one repaired call on hosted_vllm deployments. For other providers,
    which `model_groups` may name, it is not: LiteLLM calls most of them, `openai` among them,
    through clients of their own that no client of the guard can stand in for. What such a refusal
    teaches the next attempt at the same conversation tries, one lesson at a time, so that it may be
    refused more than once before it is repaired.

    Args:
        clock: Returns the time in seconds, which never goes back.
        **settings: As under `callback_settings.role_guard` in config.yaml (`GuardSettings`).

    Attributes:
        settings: The settings of the whole guard.
        counts: What was done so far.
        entries: The `guardrails:` entries that switch it on.

    Raises:
        SettingsError: A setting or the chat template cannot be used.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, **settings: Any) -> None:
        super().__init__()
        self._clock = clock
        self._set_up(read_settings(settings, "RoleGuard", GuardSettings), "RoleGuard")

    @classmethod
    def from_config(cls) -> RoleGuard:
        """Return the guard that the proxy's config describes; the proxy does not start without it.

        Raises:
            SettingsError: A setting or a chat template, global or of a deployment, cannot be used.
        """
        is_proxy = PROXY_MODULE in sys.modules
        # An application that uses LiteLLM as a library has logging of its own.
        if is_proxy:
            show(level_named(os.environ.get("LITELLM_LOG")), json_formatter())
        guard = cls()
        config = read_proxy_config()
        check_at_start(config)
        written = config.mapping("callback_settings").get(KEY)
        guard._set_up(read_settings(written, GLOBAL_PATH, GuardSettings), GLOBAL_PATH)
        guard._deployments.prepare(config.entries("model_list"))
        add_routes(guard.shown)
        if is_proxy:
            guard._start = StartReport(guard.settings, config)
            guard._start.say()
            guard._warm_up.start()
        return guard

    def _set_up(self, settings: GuardSettings, path: str) -> None:
        self.settings = settings
        self._start: StartReport | None = None
        if settings.log_level is not None:
            logger.setLevel(settings.log_level)
        self.counts = Counts()
        self._deployments = Deployments(
            settings, path, counts=self.counts, cache=proxy_redis, clock=self._clock
        )
        self._metrics = Metrics(has_prometheus)
        self._groups = GuardedGroups(settings, self._deployments, self._metrics)
        self._warm_up = WarmUp(self._groups, proxy_router)
        self._observer = RequestObserver()
        self.entries = GuardrailEntries()
        self._reports = Reports()
        self._unheard: WeakKeyDictionary[Any, GuardedCall] = WeakKeyDictionary()
        self._affinity = PrefixAffinity(
            lambda deployment: LiteLLMRequest.to_deployment(deployment, "").backend()
        )
        self._responses = ResponseStore()
        self._recent = RecentRepairs()
        self._requests = RequestGuard(
            self.counts, self._reports, self._responses, self._failed, self._recent.add
        )
        self._others = OtherCalls(
            self._groups, self.entries, self._reports, self._responses, self._steering
        )

    def shown(self) -> dict[str, Any]:
        """Return what was done lately and what is known, as data for JSON; never message text."""
        return {**self._recent.shown(), "profiles": self._deployments.shown(time.time())}

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
            steering = self._steering(request_kwargs or {})
            if self._groups.are_routed(model, healthy_deployments, steering):
                request = self._requests.with_stored_history(request_kwargs or {})
                ranked = self._affinity.ranked(
                    healthy_deployments,
                    as_dicts(messages),
                    request,
                    self._groups.dropped_errors(model, healthy_deployments, steering),
                )
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
        started = time.perf_counter()
        self._reports.begin()
        note_reader()
        try:
            changed, reason = await self._read_request(data, call_type, user_api_key_dict)
            if reason is None:
                return changed
            is_on, entry = self.entries.switched_on(data)
            if not is_on:
                return changed
            refusal, header = self._requests.refusal_of_bad_input(LiteLLMRequest(data), reason)
            metrics = self._groups.metrics_of_group(data.get("model"))
            self._observer.blocked(data, refusal, metrics, started, entry)
        except Exception as error:
            self._failed(error)
            return None
        # Of the errors that LiteLLM can raise, this one comes out clean on all endpoints.
        from litellm.proxy._types import ProxyException

        self.counts.add(refusal.event)
        raise ProxyException(
            message=str(refusal),
            type="invalid_request_error",
            param=REQUEST_FIELD[call_type],
            code=400,
            headers=header,
        )

    async def async_pre_call_deployment_hook(
        self, kwargs: dict[str, Any], call_type: Any
    ) -> dict[str, Any] | None:
        """Repair a request for the deployment that is about to get it.

        LiteLLM runs this for each retry and each fallback: a Router with the client's own
        messages, `acompletion(fallbacks=..., num_retries=...)` with what this hook gave before.
        """
        endpoint = endpoint_of(call_type)
        if endpoint is None:
            return self._other_arguments(kwargs, str(getattr(call_type, "value", call_type)))
        started = time.perf_counter()
        given: Mapping[str, Any] = kwargs
        changed = request = None
        try:
            given = original_arguments(kwargs)
            request = LiteLLMRequest(given)
            self._reports.forget(request.logging_object)
            if self._groups.guards(request):
                steering = self._steering(given)
                plan = await self._plan(request, endpoint, steering, started)
                changed = plan.arguments(request)
                self._remember_unheard(request, plan, changed)
                self._log_unless_told(request, changed)
        except DeliberateError as error:
            self.counts.add(error.event)
            self._log_unless_told(LiteLLMRequest(given), None)
            raise BadRequestError(
                message=str(error), model=kwargs["model"], llm_provider=PROVIDER
            ) from None
        except Exception as error:
            self._failed(error)
            self._observer.failed(request, self._groups.metrics, started)
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
        """Have LiteLLM's own retry try what a refusal teaches that no client of ours saw."""
        try:
            call = self._unheard_call(request_data)
            if call is not None and isinstance(exception, BadRequestError):
                # The response that LiteLLM attaches is empty; its message has the backend's words.
                call.refused_unheard(str(exception), request_data)
        except Exception as error:
            self._failed(error)

    async def async_post_call_success_deployment_hook(
        self, request_data: Mapping[str, Any], response: Any, call_type: Any
    ) -> None:
        """Keep what a call tried that no client of ours made; LiteLLM does not tell of streams."""
        try:
            call = self._unheard_call(request_data)
            if call is not None:
                call.answered_unheard()
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
        """Return the response header that says what was done."""
        try:
            report = self._reports.of(data.get("litellm_logging_obj"))
            if report is None:
                return None
            report.log()
            value = report.header()
            return None if value is None else {HEADER: value}
        except Exception as error:
            self._failed(error)
            return None

    async def async_post_call_failure_hook(
        self,
        request_data: Mapping[str, Any],
        original_exception: Exception,
        user_api_key_dict: Any,
        traceback_str: str | None = None,
    ) -> None:
        """Write the log line of a request that the proxy answers with an error."""
        try:
            report = self._reports.of(None)  # LiteLLM has taken its logging object away
            if report is not None:
                report.log()
        except Exception as error:
            self._failed(error)

    def _log_unless_told(self, request: LiteLLMRequest, changed: Mapping[str, Any] | None) -> None:
        """Write the log line now where nobody will tell how the call ended."""
        if self._reports.will_end or is_made_by_us(changed):
            return
        report = self._reports.of(request.logging_object)
        if report is not None:
            report.log()

    async def _read_request(
        self, data: dict[str, Any], call_type: str, caller: Any
    ) -> tuple[dict[str, Any] | None, str | None]:
        """Return a request's body without the guard's field, if changed, and what is wrong."""
        changed = without_settings(data)
        if call_type not in REQUEST_FIELD:
            return changed, None
        try:
            requested = requested_settings(data, self.settings)
        except SettingsError as error:
            return changed, str(error)
        steering = steering_of(caller, self.settings, requested)
        self._reports.steer(steering)
        body = data if changed is None else changed
        if call_type == RESPONSES:
            body = self._requests.with_referred_items(body)
        reason = await self._groups.find_proxy_error(body, call_type, steering)
        # LiteLLM's rules take longer than all else here, and most requests are not translated.
        if reason is None and call_type in TRANSLATED and self.entries.switched_on(data)[0]:
            changed = await self._groups.with_all_read(body, call_type, steering) or changed
        return changed, reason

    def _other_arguments(self, kwargs: dict[str, Any], call_type: str) -> dict[str, Any] | None:
        """Return the arguments of a call without a conversation to repair; None for no change."""
        try:
            given = original_arguments(kwargs)
            changed = self._others.arguments(LiteLLMRequest(given), call_type)
            return dict(given) if changed is None and given is not kwargs else changed
        except Exception as error:
            self._failed(error)
            return None

    def _steering(self, arguments: Mapping[str, Any]) -> Steering:
        # What the proxy's own hook was told holds for each attempt; a Router alone has no such.
        told = self._reports.steering
        return steering_of(caller_of(arguments), self.settings) if told is None else told

    async def _plan(
        self, request: LiteLLMRequest, endpoint: str, steering: Steering, started: float
    ) -> CallPlan:
        """Return how a request is to be made, counted as in flight where its group is routed."""
        deployment, settings = self._groups.deployment(request, steering)
        is_on, entry = self.entries.switched_on(request.arguments)
        plan = CallPlan()
        if is_on:
            try:
                plan = await self._requests.plan(request, endpoint, deployment, settings)
            except DeliberateError as error:
                self._observer.blocked(request.arguments, error, deployment.metrics, started, entry)
                raise
        plan = self._observer.planned(request, plan, deployment.metrics, started, entry)
        if request.logging_object is None or not self._groups.is_routed(request, steering):
            return plan
        in_flight, routed = self._affinity.sent(request.arguments)
        if routed is not None:
            self.counts.add(f"routed_{routed}")
            deployment.metrics.routed(routed)
            report = self._reports.of(request.logging_object)
            if report is not None:
                report.routed = routed
        # Without a client of ours it ends with LiteLLM's logging object.
        return plan.with_parts(InFlightEnd(in_flight))

    def _remember_unheard(
        self, request: LiteLLMRequest, plan: CallPlan, changed: Mapping[str, Any] | None
    ) -> None:
        """Remember a call that LiteLLM's own client makes, so that its hooks can tell of it."""
        logging_object = request.logging_object
        if logging_object is None:
            return
        if isinstance(plan.policy, GuardedCall) and not is_made_by_us(changed):
            self._unheard[logging_object] = plan.policy
        else:
            self._unheard.pop(logging_object, None)

    def _unheard_call(self, arguments: Mapping[str, Any]) -> GuardedCall | None:
        logging_object = arguments.get("litellm_logging_obj")
        return None if logging_object is None else self._unheard.pop(logging_object, None)

    def _failed(self, error: Exception) -> None:
        self.counts.add("failed")
        self._metrics.error()
        log_failure("role guard failed; the request goes on unchanged", error)


role_guard = RoleGuard.from_config()
