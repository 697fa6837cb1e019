"""Which texts of a conversation a rendered prompt lacks, found without reading it over and over."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litellm_role_guard.template import rendering_fault as module
from litellm_role_guard.template.chat_template import ChatTemplate
from litellm_role_guard.template.rendering_fault import MAX_READS, rendering_fault
from testing.conversations import Message, user

IN_ORDER = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
AS_JSON = "{% for m in messages %}<{{ m.role }}>{{ m.content | tojson }}{% endfor %}"
BACKWARDS = "{% for m in messages | reverse %}{{ m.content | tojson }}{% endfor %}"
FIRST_LAST = "{% for m in messages[1:] %}{{ m.content }}{% endfor %}{{ messages[0].content }}"
WORDS = st.sampled_from(["a", "b", "ab\n", "x'y\"", "ü", "zz " * 150, "a" * 400])


class CountedPrompt(str):
    """A prompt that counts how many of its characters are searched."""

    read = 0

    def find(self, text: str, begin: Any = 0, end: Any = None) -> int:
        """Find as a string does."""
        place = super().find(text, begin, end)
        stop = len(self) if end is None else min(end, len(self))
        self.read += (stop if place < 0 else place) - begin
        return place


def _searched(template: str, messages: list[Message], monkeypatch: pytest.MonkeyPatch) -> float:
    """Return how many times its own length was read of a prompt."""
    prompt = CountedPrompt(ChatTemplate(template).render(messages))
    monkeypatch.setattr(ChatTemplate, "render", lambda *_, **__: prompt)
    assert rendering_fault(ChatTemplate(template), messages, messages) is None
    monkeypatch.undo()
    return prompt.read / len(prompt)


@pytest.mark.parametrize("template", [IN_ORDER, AS_JSON, FIRST_LAST])
def test_a_prompt_in_order_is_read_a_few_times(
    template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of texts, one of them moved, cost a few readings of the prompt, not thousands."""
    messages = [user(f'the "{at}th" of many texts') for at in range(2000)]
    assert _searched(template, messages, monkeypatch) < 60


def test_a_prompt_in_another_order_is_read_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts that a template moves by the thousand cost no more than the limit."""
    messages = [user(f'the "{at}th" of many texts') for at in range(2000)]
    assert _searched(BACKWARDS, messages, monkeypatch) <= MAX_READS + 5


@given(st.lists(WORDS, max_size=8), st.randoms(use_true_random=False))
def test_a_text_counts_as_read_wherever_and_however_it_is_written(
    words: list[str], random: Any
) -> None:
    """A text is found in any order, as it is, as JSON or as Python writes it, and nowhere else."""
    shown = [random.choice([word, json.dumps(word), repr(word)]) for word in words]
    prompt = "|".join(random.sample(shown, random.randint(0, len(shown)))) + "."
    search = module._Search(prompt)
    for word in words:
        forms = (json.dumps(word, ensure_ascii=False), json.dumps(word), repr(word))
        expected = any(form in prompt for form in (word, *(form[1:-1] for form in forms)))
        assert search.finds(word) is expected
