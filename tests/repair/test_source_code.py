"""A text is shown as text, and never as the source code of a list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from litellm_role_guard import ChatTemplate, TemplateProfile, repair
from testing.learnt import learnt
from testing.real_templates import REAL, name

TEXT = 'Line "one" of {é}\nLine two'
CONTENTS: dict[str, Any] = {
    "text": TEXT,
    "part": [{"type": "text", "text": TEXT}],
    "parts": [{"type": "text", "text": TEXT}, {"type": "text", "text": "Line three"}],
}
FRAMES: dict[str, tuple[list[Any], list[Any]]] = {
    "system": ([], [{"role": "user", "content": "question"}]),
    "developer": ([], [{"role": "user", "content": "question"}]),
    "user": ([], []),
    "assistant": (
        [{"role": "user", "content": "question"}],
        [{"role": "user", "content": "another"}],
    ),
    "late system": (
        [{"role": "user", "content": "question"}, {"role": "assistant", "content": "answer"}],
        [{"role": "user", "content": "another"}],
    ),
}


@pytest.mark.parametrize("path", REAL, ids=name)
@pytest.mark.parametrize("form", CONTENTS)
@pytest.mark.parametrize("kind", FRAMES)
def test_two_lines_stay_two_lines(path: Path, form: str, kind: str) -> None:
    """With their quotes, braces and letters, whatever the content's form."""
    template, profile = learnt(path)
    before, after = FRAMES[kind]
    message = {"role": kind.rpartition(" ")[2], "content": CONTENTS[form]}
    prompt = template.render(repair([*before, message, *after], profile).messages)
    assert 'Line "one" of {é}' in prompt
    assert "Line two" in prompt
    assert r"{é}\n" not in prompt


def test_a_template_that_prints_a_list_is_seen() -> None:
    """Its system text is said where it is read."""
    text = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ m.content }}{% else %}"
        "{% for part in m.content %}{{ part.text }}{% endfor %}{% endif %}{% endfor %}"
    )
    template = ChatTemplate(text)
    profile = TemplateProfile.learn(template)
    assert profile.leading_system["system"] == "not_read"
    messages = [{"role": "system", "content": TEXT}, {"role": "user", "content": "question"}]
    assert template.render(repair(messages, profile).messages).startswith(TEXT)


def test_text_beside_a_call_is_text_where_the_template_prints_it_as_a_list() -> None:
    """Then it is said before the call, in a turn of its own."""
    text = (
        "{% for m in messages %}{% if m.role == 'tool' %}<result>{{ m.content }}"
        "{% elif m.tool_calls %}<call>{{ m.content or '' }}{{ m.tool_calls | tojson }}"
        "{% else %}<{{ m.role }}>{% for part in m.content %}{{ part.text }}{% endfor %}"
        "{% endif %}{% endfor %}"
    )
    template = ChatTemplate(text)
    function = {"name": "look_up", "arguments": '{"word": "x"}'}
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "question"},
        {
            "role": "assistant",
            "content": TEXT,
            "tool_calls": [{"id": "aB00Z0000", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "aB00Z0000", "content": "result"},
    ]
    prompt = template.render(repair(messages, TemplateProfile.learn(template)).messages)
    assert f"<assistant>{TEXT}<call>[{{" in prompt
    assert "<result>result" in prompt
