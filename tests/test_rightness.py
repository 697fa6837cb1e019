"""The judge of pairs: whose result a reader of a prompt without ids takes a result for."""

from __future__ import annotations

from typing import Any

import pytest

from litellm_role_guard.template.chat_template import ChatTemplate
from testing.conversations import user
from testing.real_templates import REAL
from testing.rightness import mispaired

QWEN_3 = next(path for path in REAL if path.name == "qwen3.jinja" and "trl" in path.parts)


def calls(*ids: str, arguments: str = '{"to": "checker"}') -> dict[str, Any]:
    """Give a reply that calls alike under each id."""
    function = {"name": "hand_over", "arguments": arguments}
    made = [{"id": each, "type": "function", "function": function} for each in ids]
    return {"role": "assistant", "content": None, "tool_calls": made}


def result(call_id: str, text: str = "The checker goes on.") -> dict[str, Any]:
    """Give a result."""
    return {"role": "tool", "tool_call_id": call_id, "content": text}


@pytest.fixture(scope="module")
def qwen() -> ChatTemplate:
    """A template that shows no ids."""
    return ChatTemplate.from_path(QWEN_3)


@pytest.mark.parametrize("arguments", ['{"to": "checker"}', "{}"])
def test_calls_alike_whose_words_stand_elsewhere_are_told_apart(
    qwen: ChatTemplate, arguments: str
) -> None:
    """As LlamaIndex sends its hand-overs, time and again."""
    asked = user("Let the checker hand_over.")
    one, two = calls("one", arguments=arguments), calls("two", arguments=arguments)
    sound = [asked, one, result("one"), two, result("two"), asked]
    assert list(mispaired(qwen, sound, tools=False)) == []


def test_results_that_are_swapped_are_found_though_the_calls_are_alike(qwen: ChatTemplate) -> None:
    """No text of theirs tells the calls apart."""
    swapped = [user("Go."), calls("one", "two"), result("two", "B"), result("one", "A")]
    assert list(mispaired(qwen, swapped, tools=False)) == [1]
