"""Repairs chat histories that a model's chat template would refuse or silently drop.

Listed under `callbacks` in a LiteLLM proxy's config.yaml as `litellm_role_guard.role_guard`, or
under `guardrails` as `litellm_role_guard.RoleGuardrail`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .batch.api import batch
from .probing.local import learn_from_template
from .profile.template_profile import TemplateProfile
from .repair.chain import Repair, repair
from .repair.change import Change
from .template.chat_template import ChatTemplate
from .template.errors import TemplateInvalid, TemplateRefused

if TYPE_CHECKING:
    from .plugin.guard import RoleGuard, role_guard
    from .plugin.guardrail import RoleGuardrail
    from .probing.live import learn_from_vllm

__all__ = [
    "Change",
    "ChatTemplate",
    "Repair",
    "RoleGuard",
    "RoleGuardrail",
    "TemplateInvalid",
    "TemplateProfile",
    "TemplateRefused",
    "batch",
    "learn_from_template",
    "learn_from_vllm",
    "repair",
    "role_guard",
]


def __getattr__(name: str) -> Any:
    # LiteLLM takes seconds to import and httpx some 0.1 s; a script that repairs a file needs
    # neither.
    if name in ("RoleGuard", "role_guard"):
        from .plugin import guard

        return getattr(guard, name)
    if name == "RoleGuardrail":
        from .plugin.guardrail import RoleGuardrail

        return RoleGuardrail
    if name == "learn_from_vllm":
        from .probing.live import learn_from_vllm

        return learn_from_vllm
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
