"""Templates with their profiles, learnt once in a run of the tests."""

from __future__ import annotations

import hashlib
import os
import tempfile
from functools import cache
from pathlib import Path

from litellm_role_guard import ChatTemplate, TemplateProfile

_RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID")
"""What the workers of a parallel run share; each would take minutes to learn all templates."""


@cache
def learnt(path: Path) -> tuple[ChatTemplate, TemplateProfile]:
    """Return a template and its profile."""
    template = ChatTemplate.from_path(path)
    return template, TemplateProfile.learn(template) if _RUN is None else _of_run(template, path)


def _of_run(template: ChatTemplate, path: Path) -> TemplateProfile:
    """Return the profile that a worker of this run has learnt, or learn it for all of them."""
    name = hashlib.sha256(os.fsencode(path)).hexdigest()
    kept = Path(tempfile.gettempdir(), f"role-guard-{_RUN}", name)
    if kept.exists():
        return TemplateProfile.model_validate_json(kept.read_bytes())
    profile = TemplateProfile.learn(template)
    kept.parent.mkdir(exist_ok=True)
    partial = kept.with_suffix(f".{os.getpid()}")
    partial.write_text(profile.model_dump_json())
    partial.replace(kept)
    return profile
