"""Which deployments are guarded, and by which settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..config.settings import DeploymentSettings, GuardSettings
from ..endpoints.anthropic import translatable
from ..endpoints.generate_content import readable_contents
from ..observability.metrics import OTHER, DeploymentMetrics, Metrics
from .deployments import Deployment, Deployments
from .litellm_internals import proxy_router
from .metric_labels import metric_labels
from .request import ANTHROPIC, REQUEST_FIELD, LiteLLMRequest
from .request_errors import askable_roles, find_request_error
from .steering import Steering
from .workload import Workload


class GuardedGroups:
    """Knows the guard's deployments by their requests, and by the names of their groups.

    Args:
        settings: The settings of the whole guard.
        deployments: What is known of each deployment.
        metrics: The metrics of each.
    """

    def __init__(self, settings: GuardSettings, deployments: Deployments, metrics: Metrics) -> None:
        self._settings = settings
        self._deployments = deployments
        self._metrics = metrics

    def guards(self, request: LiteLLMRequest) -> bool:
        """Return whether a request's deployment is guarded."""
        if self._settings.model_groups is None:
            return request.is_vllm
        return any(map(self._settings.names, request.names))

    def asks(self, request: LiteLLMRequest) -> bool:
        """Return whether the backend of a request's deployment is to be asked what it takes.

        Raises:
            SettingsError: The deployment's own settings cannot be used.
        """
        if not self.guards(request) or not request.may_ask_backend:
            return False
        settings = self._deployments.settings_for(request.own_settings)
        return settings.mode != "off" and settings.learn and settings.chat_template is None

    def deployment(
        self, request: LiteLLMRequest, steering: Steering
    ) -> tuple[Deployment, DeploymentSettings]:
        """Return what is known of a request's deployment, and the settings for the request.

        Raises:
            SettingsError: Its own settings cannot be used.
        """
        return self._deployments.steered(
            request.key, request.own_settings, steering, lambda: self.metrics(request)
        )

    def metrics(self, request: LiteLLMRequest) -> DeploymentMetrics:
        """Return the metrics of a request's deployment."""
        return self._metrics.of(*metric_labels(request))

    def metrics_of_group(self, group: object) -> DeploymentMetrics:
        """Return the metrics of a group, of whose deployments none was chosen yet."""
        from litellm.proxy.proxy_server import llm_router

        if llm_router is None or not isinstance(group, str):
            return self._metrics.of(OTHER)
        # Of a wildcard the client has made up the name, and an alias stands in the place of it.
        listed: list[Any] = list(llm_router.get_model_list(model_name=group) or ())
        own = llm_router.get_deployment(model_id=listed[0]["model_info"]["id"]) if listed else None
        return self._metrics.of(OTHER if own is None else own.model_name)

    def is_routed(self, request: LiteLLMRequest, steering: Steering) -> bool:
        """Return whether a request's deployment is chosen from its group by prefix affinity."""
        settings = self._deployments.settings_for(request.own_settings)
        settings = self._deployments.steer(settings, steering)
        return settings.routing == "prefix_affinity" and self.guards(request)

    def are_routed(self, group: str, deployments: object, steering: Steering) -> bool:
        """Return whether all of these deployments are chosen from by prefix affinity."""
        if not isinstance(deployments, list) or not deployments:
            return False
        return all(
            self.is_routed(LiteLLMRequest.to_deployment(deployment, group), steering)
            for deployment in deployments
        )

    def repairs_all_of(self, request: LiteLLMRequest) -> bool:
        """Return whether every deployment with the model of a request is repaired.

        What LiteLLM knows of a model holds for all of them.
        """
        router = proxy_router()
        others = () if router is None else router.get_model_list() or ()
        alike = [
            LiteLLMRequest.to_deployment(each, str(each["model_name"]))
            for each in others
            if each["litellm_params"].get("model") == request.arguments.get("model")
        ]
        return all(
            self.guards(each) and self._deployments.settings_for(each.own_settings).mode == "repair"
            for each in (request, *alike)
        )

    def dropped_errors(
        self, group: str, deployments: Sequence[Any], steering: Steering
    ) -> Sequence[str] | None:
        """Return the patterns of the errors that all of these deployments drop; None for none."""
        own = [LiteLLMRequest.to_deployment(each, group).own_settings for each in deployments]
        settings = [
            self._deployments.steer(self._deployments.settings_for(each), steering) for each in own
        ]
        if any(each.error_turns == "keep" for each in settings):
            return None
        return settings[0].error_patterns

    async def find_proxy_error(
        self, body: Mapping[str, Any], call_type: str, steering: Steering
    ) -> str | None:
        """Return what is wrong with a request to the proxy; None where nothing is.

        Who is to answer is not chosen yet: it is wrong only if it is for all deployments.
        """
        if call_type not in REQUEST_FIELD:
            return None
        workload = Workload(body.get(REQUEST_FIELD[call_type]))
        if workload.excess(self._settings) is not None:
            return None
        if await workload.do(find_request_error, body, call_type, self._settings) is None:
            return None
        reasons = [
            await workload.do(_find_certain_error, body, call_type, settings)
            for settings in self._settings_of_group(body.get("model"), steering)
        ]
        return reasons[0] if reasons and all(reasons) else None

    async def with_all_read(
        self, body: dict[str, Any], call_type: str, steering: Steering
    ) -> dict[str, Any] | None:
        """Return a body of which LiteLLM's translation reads all; None where it stays as it is.

        It drops text before a deployment hook runs.

        Args:
            body: The request's body.
            call_type: One of `TRANSLATED`.
            steering: What was written for the request.
        """
        workload = Workload(body.get(REQUEST_FIELD[call_type]))
        changed: dict[str, Any] = {}
        if workload.is_too_deep:
            return None
        if call_type == ANTHROPIC:
            messages = await workload.do(translatable, body.get("messages"))
            changed = {} if messages is None else {"messages": messages}
        elif workload.excess(self._settings) is None:
            changed = await workload.do(readable_contents, body)
        if not changed:
            return None
        settings = self._settings_of_group(body.get("model"), steering)
        if not settings or any(each is None or each.mode != "repair" for each in settings):
            return None
        return {**body, **changed}

    def _settings_of_group(
        self, group: object, steering: Steering
    ) -> list[DeploymentSettings | None]:
        """Return the settings of each deployment of a group; None for one that is not guarded."""
        from litellm.proxy.proxy_server import llm_router

        if llm_router is None or not isinstance(group, str):
            return []
        found: list[DeploymentSettings | None] = []
        listed: list[Any] = list(llm_router.get_model_list(model_name=group) or ())
        if not listed and (named := llm_router.get_deployment(model_id=group)) is not None:
            listed = [named.model_dump()]
        for deployment in listed:
            # An alias's list has the alias in place of the name that the deployment has itself.
            model_id = (deployment.get("model_info") or {}).get("id")
            itself = llm_router.get_deployment(model_id=str(model_id))
            own_name = None if itself is None else itself.model_name
            request = LiteLLMRequest.to_deployment(deployment, group, own_name)
            settings = self._deployments.settings_for(request.own_settings)
            settings = self._deployments.steer(settings, steering)
            found.append(settings if self.guards(request) else None)
        return found


def _find_certain_error(
    body: Mapping[str, Any], call_type: str, settings: DeploymentSettings | None
) -> str | None:
    """Return what is wrong whatever the template says of a role that nobody knows."""
    if settings is None or settings.mode not in ("repair", "reject"):
        return None
    return find_request_error(body, call_type, settings, askable_roles(body, call_type, settings))
