"""A relaxed template shows images as the guard would have them shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from litellm_role_guard import ChatTemplate, repair
from litellm_role_guard.relax.relax import relax
from testing.learnt import learnt
from testing.media import IMAGE, PART, conversation
from testing.real_templates import REAL, name

KINDS = ("user", "tool", "system", "late system", "assistant")


@pytest.mark.slow
@pytest.mark.parametrize("path", REAL, ids=name)
def test_images_stand_where_the_guard_puts_them(path: Path) -> None:
    """In every kind of message, beside one text, two or none."""
    template, profile = learnt(path)
    relaxed = ChatTemplate(relax(template, profile, source=path.name))
    for kind in KINDS:
        for parts in ([IMAGE], [IMAGE, PART], [PART, IMAGE]):
            messages = conversation(kind, *parts)
            expected = ChatTemplate(template.text).render(repair(messages, profile).messages)
            # vLLM itself joins the parts for some templates, with another blank between them.
            assert relaxed.render(messages).split() == expected.split()
