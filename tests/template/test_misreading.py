"""What is read wrong, on real templates: two judges that share no code say the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from litellm_role_guard import ChatTemplate
from litellm_role_guard.messages.message import plain_text
from litellm_role_guard.messages.validation import find_validation_error
from litellm_role_guard.probing.probe import TOOLS
from litellm_role_guard.template.misreading import misreadings_by
from litellm_role_guard.template.prompt_reading import read_in
from testing.cases import CASES
from testing.further_cases import FURTHER
from testing.real_templates import REAL, name
from testing.rightness import mispaired, misread, read
from testing.size import some


def judged(message: Any) -> Any:
    """Return a message as the judge of the laws wants it: results of one text that says whose."""
    if message["role"] != "tool":
        return message
    answered = message.get("tool_call_id", "none")
    content = f"For {answered}: {plain_text(message)}" if plain_text(message) else ""
    return {**message, "tool_call_id": answered, "content": content}


CHATS = [
    list(map(judged, case.messages))
    for case in (*CASES, *FURTHER)
    if find_validation_error(case.messages) is None
]


@pytest.mark.parametrize("path", some(REAL), ids=name)
def test_the_judge_of_check_agrees_with_that_of_the_laws(path: Path) -> None:
    """On roles, and on the order of results, wherever a conversation is read whole."""
    template = ChatTemplate.from_path(path)
    for chat in CHATS:
        for tools in (False, True):
            prompt = read(template, chat, tools=tools)
            if prompt is None or any(each.state != "read" for each in read_in(prompt, chat)):
                continue
            found = misreadings_by(template, chat, tools=TOOLS if tools else None)
            roles = {each.message for each in found if each.kind == "role"}
            assert roles == set(misread(template, chat, tools=tools)), chat
            # Some templates show a number in place of each id, which only one of them can see.
            numbered = '"tool_call_id": "2"' in prompt
            order = any(each.kind == "order" for each in found)
            assert order == (not numbered and any(mispaired(template, chat, tools=tools))), chat


def test_what_is_refused_is_not_read_wrong() -> None:
    """There is no prompt to judge."""
    refusing = ChatTemplate("{{ raise_exception('no') }}")
    assert misreadings_by(refusing, [{"role": "user", "content": "hi"}]) == []
