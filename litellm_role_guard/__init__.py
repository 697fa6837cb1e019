"""Repairs chat histories that a model's chat template would refuse or silently drop.

Listed under `callbacks` in a LiteLLM proxy's config.yaml as `litellm_role_guard.role_guard`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .learn import learn_from_template
from .profile import TemplateProfile
from .repair import Change, Repair, repair
from .template import ChatTemplate, TemplateInvalid, TemplateRefused

if TYPE_CHECKING:
    from .callback import RoleGuard, role_guard
    from .live import learn_from_vllm

__all__ = [
    "Change",
    "ChatTemplate",
    "Repair",
    "RoleGuard",
    "TemplateInvalid",
    "TemplateProfile",
    "TemplateRefused",
    "learn_from_template",
    "learn_from_vllm",
    "repair",
    "role_guard",
]


def __getattr__(name: str) -> Any:
    # LiteLLM takes seconds to import and httpx some 0.1 s; a script that repairs a file needs
    # neither.
    if name in ("RoleGuard", "role_guard"):
        from . import callback

        return getattr(callback, name)
    if name == "learn_from_vllm":
        from .live import learn_from_vllm

        return learn_from_vllm
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
