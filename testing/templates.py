"""Our own chat templates, and the strict one that the simulator serves by default."""

from __future__ import annotations

from .processes import REPOSITORY

TEMPLATES = REPOSITORY / "tests" / "templates"
STRICT = REPOSITORY / "litellm_role_guard" / "simulator" / "strict.jinja"
NEVER = "{{ raise_exception('Conversation roles must alternate, whatever you do') }}"
OURS = [*sorted(TEMPLATES.glob("*.jinja")), STRICT]
