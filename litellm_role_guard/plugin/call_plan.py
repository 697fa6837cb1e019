"""What becomes of a call to a deployment: which arguments change, and what goes along with it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from ..observability.report import Report
from .call_part import CallPart
from .request import LiteLLMRequest
from .retrying_client import NoRetry, RetryPolicy, retrying_client


class CallPlan(NamedTuple):
    """A call as it is to be made.

    Attributes:
        report: What was done; None where the request is none of the guard's business.
        replaced: The arguments that change.
        policy: What to send after a refusal; None where LiteLLM's own client may make the call.
        parts: What else goes along with it.
    """

    report: Report | None = None
    replaced: Mapping[str, Any] = MappingProxyType({})
    policy: RetryPolicy | None = None
    parts: tuple[CallPart, ...] = ()

    def with_parts(self, *parts: CallPart) -> CallPlan:
        """Return the plan with further parts."""
        return CallPlan(self.report, self.replaced, self.policy, (*self.parts, *parts))

    def arguments(self, request: LiteLLMRequest) -> dict[str, Any] | None:
        """Return the call's arguments; None where nothing about it changes.

        Args:
            request: The call as LiteLLM is about to make it.
        """
        client = None
        if request.is_sent_as_vllm and (self.policy is not None or self.parts):
            policy = NoRetry() if self.policy is None else self.policy
            client = retrying_client(request.arguments, policy, self.replaced, self.parts)
        if client is None and self.policy is not None:
            self.policy.finished(answered=False)  # nobody will say whether it was
        if client is None and not self.replaced:
            return None
        changed = {**request.arguments, **self.replaced}
        return changed if client is None else {**changed, "client": client}
