"""The opening of a reply stays as it is, and the system text before it is read all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from litellm_role_guard import ChatTemplate, TemplateProfile, repair
from testing.learnt import learnt
from testing.real_templates import REAL, name
from testing.templates import OURS

MESSAGES = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": "question"},
    {"role": "assistant", "content": "The answer is"},
]


@pytest.mark.parametrize("path", REAL, ids=name)
def test_system_text_is_read_beside_a_prefill(path: Path) -> None:
    """Some templates show it in a last user turn only; there the user says it."""
    template, profile = learnt(path)
    repaired = repair(MESSAGES, profile, prefill=True).messages
    prompt = template.render(repaired, add_generation_prompt=False, continue_final_message=True)
    assert "be brief" in prompt
    assert prompt.endswith("The answer is")
    assert repaired[-1] is MESSAGES[-1]


def test_nothing_changes_where_the_template_shows_it() -> None:
    """A prefill alone is no reason to move the system text."""
    text = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    profile = TemplateProfile.learn(ChatTemplate(text))
    assert repair(MESSAGES, profile, prefill=True).messages is MESSAGES


BEFORE: dict[str, list[dict[str, str]]] = {
    "answer": [*MESSAGES[1:2], {"role": "assistant", "content": "An answer."}],
    "system": MESSAGES[:1],
    "late system": [*MESSAGES[1:], {"role": "system", "content": "be brief"}],
}


@pytest.mark.parametrize("path", [*OURS, *REAL], ids=name)
@pytest.mark.parametrize("before", BEFORE)
def test_a_reply_is_opened_wherever_it_is_not_a_user_s_turn(path: Path, before: str) -> None:
    """A user turn makes room where the template takes no two turns of the assistant's in a row."""
    template, profile = learnt(path)
    messages = [*BEFORE[before], MESSAGES[2]]
    repaired = repair(messages, profile, prefill=True).messages
    prompt = template.render(repaired, add_generation_prompt=False, continue_final_message=True)
    assert prompt.endswith("The answer is")
    assert repaired[-1] is MESSAGES[2]
