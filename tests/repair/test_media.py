"""An image is shown where it was, or by the user behind a label, and never as words."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from litellm_role_guard import ChatTemplate, TemplateProfile, TemplateRefused, repair
from litellm_role_guard.probing.probe import TOOLS
from testing.learnt import learnt
from testing.media import CALL, IMAGE, PART, QUESTION, THANKS, conversation
from testing.real_templates import REAL, name
from testing.rightness import shows_images, without_trace


def render(template: ChatTemplate, messages: Any) -> str | None:
    """Return the prompt; None for a refusal."""
    try:
        return template.render(messages)
    except TemplateRefused:
        return None


def placeholder(template: ChatTemplate) -> str:
    """Return what an image of the user's adds to a prompt; empty where none is shown."""
    plain, shown = (
        render(template, conversation("user", *parts)) or "" for parts in ([PART], [IMAGE, PART])
    )
    begin = next((at for at, (a, b) in enumerate(zip(plain, shown, strict=False)) if a != b), 0)
    return shown[begin : begin + len(shown) - len(plain)].strip()


@pytest.mark.parametrize("path", REAL, ids=name)
@pytest.mark.parametrize("kind", ["user", "tool", "system", "late system", "assistant"])
def test_every_image_has_its_place_in_the_prompt(path: Path, kind: str) -> None:
    """Where the template shows images at all, whoever's message holds it."""
    template, profile = learnt(path)
    mark = placeholder(template)
    if not mark or "as you see" in mark:
        pytest.skip("shows no images, or does more with one")
    messages = conversation(kind, IMAGE)
    sent = repair(messages, profile).messages
    prompt = template.render(sent)
    assert all(text in prompt for text in ("as you see", "which text is on it?"))
    assert prompt.count(mark) >= 1
    assert "'image'" not in prompt
    original = render(template, messages)
    if original is not None and mark and mark in original and sent is not messages:
        assert "[Media of" not in prompt


@pytest.mark.parametrize("path", REAL, ids=name)
@pytest.mark.parametrize("parts", [[IMAGE], [IMAGE, PART], [PART, IMAGE, PART]])
def test_an_image_in_the_first_turn_is_shown_beside_tools(path: Path, parts: list[Any]) -> None:
    """Some templates put the tools into the first turn, and show the text alone there."""
    template, profile = learnt(path)
    if not shows_images(template, tools=True):
        pytest.skip("shows no images")
    for front in ([], [{"role": "system", "content": "Be brief."}]):
        messages: list[Any] = [*front, {"role": "user", "content": parts}]
        sent = repair(messages, profile, tools=TOOLS).messages
        assert list(without_trace(template, sent, tools=True)) == []
        assert "['" not in template.render(sent, tools=TOOLS)


def test_an_image_in_the_first_turn_waits_for_a_later_one_where_turns_alternate() -> None:
    """Its turn stays as it is, behind an empty one; a text before it is not torn from it."""
    template = ChatTemplate(
        "{%- for m in messages -%}{%- if loop.index is even and m.role == 'user' -%}"
        "{{ raise_exception('alternate') }}{%- endif -%}<{{ m.role }}>"
        "{%- for part in m.content -%}{{ part.text }}"
        "{%- if part.type == 'image' and not (tools and loop.first) and m != messages[0] -%}"
        "<image>{%- endif -%}{%- endfor -%}{%- endfor -%}"
    )
    first = {"role": "user", "content": [PART, IMAGE]}
    profile = TemplateProfile.learn(template)
    sent = repair([first], profile, tools=TOOLS).messages
    assert sent[-1] is first
    assert template.render(sent, tools=TOOLS) == "<user><assistant><user>as you see<image>"


@pytest.mark.parametrize("path", REAL, ids=name)
def test_the_text_of_a_message_stays_where_it_was(path: Path) -> None:
    """Only what the template would not show is said elsewhere, and the user's words are told."""
    _, profile = learnt(path)
    sent = repair(conversation("tool", IMAGE), profile).messages
    moved = [message for message in sent if "[Media of tool result: screenshot]" in str(message)]
    for message in moved:
        assert message["role"] == "user"
        assert "as you see" not in str(message)
        assert sent[2]["role"] == "tool"
        if "which text" in str(message):
            assert "[User message]" in str(message)


def test_the_media_of_a_round_stand_behind_its_last_result() -> None:
    """A user turn amid the results would tear the round apart."""
    profile = TemplateProfile(media={"user": "accepted", "tool": "not_read"})
    calls = [{**CALL["tool_calls"][0], "id": f"aB00Z000{at}"} for at in range(2)]
    results = [
        {"role": "tool", "tool_call_id": f"aB00Z000{at}", "content": [IMAGE]} for at in range(2)
    ]
    messages: list[dict[str, Any]] = [QUESTION, {**CALL, "tool_calls": calls}, *results, THANKS]
    roles = [message["role"] for message in repair(messages, profile).messages]
    assert roles == ["user", "assistant", "tool", "tool", "user", "user", "user"]


@pytest.mark.parametrize("path", REAL, ids=name)
def test_an_image_beside_instructions_is_shown_and_they_are_read(path: Path) -> None:
    """Some templates take no system message where there is an image: then the user says it."""
    template, profile = learnt(path)
    asked = [{"role": "assistant", "content": "ready."}, conversation("user", IMAGE)[0]]
    for role, tools in itertools.product(("system", "developer"), (None, TOOLS)):
        messages = [{"role": role, "content": "Be brief."}, THANKS, *asked]
        prompt = template.render(repair(messages, profile, tools=tools).messages, tools=tools)
        assert "Be brief." in prompt
        assert "as you see" in prompt
