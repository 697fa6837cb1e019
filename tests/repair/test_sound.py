"""What is sound goes on as the very same objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litellm_role_guard import repair
from testing.laws import Conversation, unread
from testing.learnt import learnt
from testing.real_templates import REAL, name
from testing.rightness import is_source_code, mispaired, misread, read, without_trace
from testing.size import examples

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}


@st.composite
def dialogues(draw: st.DrawFn) -> Conversation:
    """Return dialogues as clients make them: a system message, turns, and rounds of tools.

    Some turns have a name, several parts, an image or reasoning.
    """
    drawn = Conversation([], [])
    messages, mark = drawn.messages, drawn.new_mark

    def say(role: str, **fields: Any) -> None:
        form = draw(st.sampled_from(["text", "text", "text", "part", "parts"]))
        content: Any = mark()
        if form != "text":
            content = [{"type": "text", "text": content}]
            content += [{"type": "text", "text": mark()}] if form == "parts" else []
            if role == "user" and draw(st.integers(0, 3)) == 0:
                content.append(IMAGE)
        messages.append({"role": role, "content": content, **fields})

    if draw(st.booleans()):
        messages.append({"role": "system", "content": mark()})
    for _ in range(draw(st.integers(0, 3))):
        named = {"name": "ann"} if draw(st.integers(0, 4)) == 0 else {}
        say("user", **named)
        for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
            ids = [
                f"aB{len(messages):02d}Z{at:04d}" for at in range(draw(st.sampled_from([1, 1, 2])))
            ]
            calls = [
                {
                    "id": call_id,
                    "type": "function",
                    "function": {"name": "look_up", "arguments": f'{{"word": "{mark()}"}}'},
                }
                for call_id in ids
            ]
            messages.append({"role": "assistant", "content": None, "tool_calls": calls})
            for call_id in ids:
                messages.append({"role": "tool", "tool_call_id": call_id, "content": mark()})
        thought = {"reasoning": "a thought"} if draw(st.integers(0, 4)) == 0 else {}
        say("assistant", **thought)
    say("user")
    return drawn


@pytest.mark.parametrize("path", REAL, ids=name)
@given(dialogue=dialogues())
@examples(quick=10, full=200)
def test_a_dialogue_that_is_read_whole_and_right_is_not_touched(
    path: Path, dialogue: Conversation
) -> None:
    """Judged by its rendering alone, with and without tool definitions."""
    template, profile = learnt(path)
    messages = dialogue.messages
    for tools in (False, True):
        prompt = read(template, messages, tools=tools)
        is_sound = (
            prompt is not None
            and not unread(prompt, dialogue, split=False)
            and not is_source_code(prompt)
            and not list(misread(template, messages, tools=tools, empty=True))
            and not list(mispaired(template, messages, tools=tools))
            and not list(without_trace(template, messages, tools=tools))
        )
        if is_sound:
            given_tools = [{"type": "function", "function": {"name": "look_up"}}] if tools else None
            assert repair(messages, profile, tools=given_tools).messages is messages
