"""Our own chat templates, and the strict one that the simulator serves by default."""

from __future__ import annotations

from .processes import REPOSITORY

TEMPLATES = REPOSITORY / "tests" / "templates"
STRICT = REPOSITORY / "litellm_role_guard" / "simulator" / "strict.jinja"
OURS = [*sorted(TEMPLATES.glob("*.jinja")), STRICT]
