"""A LiteLLM request's deployments, put in the order in which its conversation should try them.

LiteLLM asks its callbacks before most of its own filters (session pins, budgets, context windows,
tags, `order`, what a retry has to skip; `Router.async_get_healthy_deployments`), and raises if
nothing is left in the end. A callback that gives a single deployment would overrule all of them.
So all deployments are given back, with weights of which each is a billionth of the one before:
LiteLLM's default strategy, `simple-shuffle`, then draws the best of those that the filters leave.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from ..backend import backend as asked_backend
from ..endpoints.responses import ResponsesInput
from ..messages.message import Message
from ..observability.log import logger
from ..repair.error_turns import without_errors
from .backend_load import BackendLoads
from .in_flight import InFlight, InFlightRequest, end_with_task
from .prefix import Candidate, Choice, choose, prefix_key

STEP = 1e-9
"""What a deployment weighs in proportion to the next better one."""


MAX_READ = 200
"""How many messages of a conversation are read, its first. Most are known by their first two."""


_LEAST = 1e-300

_WEIGHTS = ("weight", "rpm", "tpm")  # in the order of LiteLLM's `router_strategy/simple_shuffle.py`

_CLIENTS_OWN = ("api_key", "api_base", "base_url")

_PROVIDER = "hosted_vllm/"


class PrefixAffinity:
    """Sends each conversation where its KV cache is, as far as the load allows it.

    Args:
        asked: Returns the backend of a deployment, to ask it for its load; None for one that is
            not asked.

    Attributes:
        in_flight: The requests that are on their way.
    """

    def __init__(
        self, asked: Callable[[Mapping[str, Any]], asked_backend.Backend | None] = lambda _: None
    ) -> None:
        self.in_flight = InFlight()
        self._asked = asked
        self._loads = BackendLoads(self.in_flight)
        # By LiteLLM's logging object, which is the same for all hooks of a request: which backend
        # it should go to, and whether that is the home of its conversation.
        self._plans: WeakKeyDictionary[Any, tuple[str, bool]] = WeakKeyDictionary()
        self._has_warned = False

    def ranked(
        self,
        deployments: Sequence[Mapping[str, Any]],
        messages: Any,
        request: Mapping[str, Any],
        dropped_errors: Sequence[str] | None = None,
    ) -> list[dict[str, Any]] | None:
        """Return all the deployments with weights that rank them; None where there is no choice.

        Args:
            deployments: Those that LiteLLM calls healthy. They are not changed.
            messages: The messages that LiteLLM gives its callbacks.
            request: The request's further arguments.
            dropped_errors: The patterns of the errors that a repair takes out of the assistant's
                messages, beside those of known clients; None where it takes none out.
        """
        logging_object = request.get("litellm_logging_obj")
        if logging_object is not None:
            self._plans.pop(logging_object, None)
        if len(deployments) < 2 or any(name in request for name in _CLIENTS_OWN):
            return None
        call_type = getattr(logging_object, "call_type", "acompletion")
        given = _conversation(messages, request, call_type)
        if not given:
            return None
        if dropped_errors is not None:
            given = without_errors(given, dropped_errors).messages
        start = prefix_key(given)
        if start is None:
            return None
        backends = [
            Candidate(_key(deployment["litellm_params"], deployment.get("model_info")), weight)
            for deployment, weight in zip(deployments, _weights(deployments), strict=True)
        ]
        for backend, deployment in zip(backends, deployments, strict=True):
            self._loads.watch(backend.key, partial(self._asked, deployment))
        loads = {backend.key: self.in_flight.load(backend.key) for backend in backends}
        choice = choose(start, backends, loads, tried=_tried(deployments, request))
        if logging_object is not None:
            best = backends[choice.order[0]].key
            self._plans[logging_object] = best, choice.preferred
            # From now on, or many requests that come at once would all find room in one place.
            end_with_task(self.in_flight.begin(best, logging_object))
        return _weighted(deployments, choice)

    def sent(self, kwargs: Mapping[str, Any]) -> tuple[InFlightRequest, str | None]:
        """Count a request at the deployment that LiteLLM chose in the end.

        Args:
            kwargs: The arguments of LiteLLM's call to it.

        Returns:
            The request on its way, to be ended when the backend is through with it; and how it
            was routed: `home`, `moved` (by the load, or after a failure), `overruled` by LiteLLM,
            or None if there was no choice.
        """
        logging_object = kwargs["litellm_logging_obj"]
        key = _key(kwargs, kwargs.get("model_info"))
        flight = self.in_flight.begin(key, logging_object)
        planned, preferred = self._plans.pop(logging_object, (None, False))
        if planned is None:
            return flight, None
        if planned != key:
            self._warn()
            return flight, "overruled"
        return flight, "home" if preferred else "moved"

    def _warn(self) -> None:
        if not self._has_warned:
            self._has_warned = True
            logger.warning(
                "routing: LiteLLM chose another deployment than prefix affinity: a filter of its "
                "own had its say, or the routing_strategy is not simple-shuffle (the default)"
            )


def _conversation(
    messages: Any, request: Mapping[str, Any], call_type: str
) -> Sequence[Message] | None:
    """Return the messages of a request; None where nobody here knows all of them."""
    if call_type == "aresponses":
        if request.get("previous_response_id"):
            return None  # the conversation is known to one backend only, and LiteLLM knows to which
        given = request["input"]
        given = given if isinstance(given, str) else given[:MAX_READ]
        return ResponsesInput(given, request.get("instructions")).messages
    if call_type not in ("acompletion", "anthropic_messages") or not messages:
        return None
    if call_type == "anthropic_messages" and request.get("system"):
        return [{"role": "system", "content": request["system"]}, *messages[:MAX_READ]]
    opening: Sequence[Message] = messages[:MAX_READ]
    return opening


def _key(params: Mapping[str, Any], info: Any) -> str:
    """Name a backend by what is the same in every process that knows it.

    LiteLLM's own ids are not: they are hashes of all parameters, API keys included.
    """
    address = params.get("api_base")
    if not address:
        return str(info.get("id")) if isinstance(info, Mapping) else ""
    return f"{str(address).rstrip('/')} {str(params.get('model')).removeprefix(_PROVIDER)}"


def _weights(deployments: Sequence[Mapping[str, Any]]) -> list[float]:
    for name in _WEIGHTS:
        weights = [float(each["litellm_params"].get(name) or 0) for each in deployments]
        if any(weight > 0 for weight in weights):
            return weights
    return [1.0] * len(deployments)


def _tried(deployments: Sequence[Mapping[str, Any]], request: Mapping[str, Any]) -> set[int]:
    """Return the positions of deployments that this request has failed at (`Router.log_retry`)."""
    call = request.get("litellm_call_id")
    failed = {
        _id_of(attempt)
        for metadata in _metadata_of(request)
        for attempt in _listed(metadata.get("previous_models"))
        # LiteLLM 1.100 lists the attempts of other requests, too.
        if isinstance(attempt, Mapping) and attempt.get("litellm_call_id", call) == call
    }
    failed.discard(None)
    return {
        at
        for at, deployment in enumerate(deployments)
        if (deployment.get("model_info") or {}).get("id") in failed
    }


def _id_of(attempt: Mapping[str, Any]) -> object:
    """Return the id of the deployment that an attempt was made at; None where nothing tells it."""
    # LiteLLM 1.100 keeps the arguments of the call, with their metadata, in place of the id.
    told = [metadata.get("model_info") for metadata in _metadata_of(attempt)]
    return next(
        (info["id"] for info in told if isinstance(info, Mapping) and "id" in info),
        attempt.get("deployment_id"),
    )


def _metadata_of(arguments: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    named = (arguments.get(name) for name in ("metadata", "litellm_metadata"))
    return (each for each in named if isinstance(each, Mapping))


def _listed(value: object) -> Sequence[Any]:
    return value if isinstance(value, (list, tuple)) else ()


def _weighted(deployments: Sequence[Mapping[str, Any]], choice: Choice) -> list[dict[str, Any]]:
    weights = {at: max(STEP**place, _LEAST) for place, at in enumerate(choice.order)}
    return [
        {**deployment, "litellm_params": {**deployment["litellm_params"], "weight": weights[at]}}
        for at, deployment in enumerate(deployments)
    ]
