"""Templates with their profiles, learnt once a process."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from litellm_role_guard import ChatTemplate, TemplateProfile


@cache
def learnt(path: Path) -> tuple[ChatTemplate, TemplateProfile]:
    """Return a template and its profile."""
    template = ChatTemplate.from_path(path)
    return template, TemplateProfile.learn(template)
