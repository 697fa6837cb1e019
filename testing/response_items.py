"""Inputs of /v1/responses to try the round trip on, each text of them different."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from .foreign_items import FOREIGN, UNREADABLE

PICTURE = {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "auto"}


@dataclass(frozen=True)
class ResponsesBody:
    """What a client sends to /v1/responses, and the texts in it."""

    request_input: str | list[Any]
    instructions: str | None
    marks: list[str]


@st.composite
def responses_bodies(
    draw: st.DrawFn, *, media: bool = False, foreign: bool = True
) -> ResponsesBody:
    """Give inputs of 1 to 12 items of all kinds that vLLM turns into messages, in any order.

    Args:
        draw: Hypothesis' source of choices.
        media: Whether there are pictures among them, which not every model takes.
        foreign: Whether there are items among them that vLLM does not take.
    """
    count = itertools.count()
    marks: list[str] = []

    def mark() -> str:
        marks.append(f"mark{next(count):03d}x")
        return marks[-1]

    def parts(kind: str) -> list[Any]:
        made: list[Any] = [{"type": kind, "text": mark()} for _ in range(draw(st.integers(1, 3)))]
        if media and kind == "input_text" and draw(st.booleans()):
            made.insert(draw(st.integers(0, len(made))), PICTURE)
        return made

    def content() -> Any:
        forms = ["text"] * 4 + ["parts", "blank", "none", "other parts"]
        form = draw(st.sampled_from(forms))
        if form in ("text", "blank"):
            return mark() if form == "text" else ""
        return parts("text" if form == "other parts" else "input_text") if form != "none" else []

    def reply() -> dict[str, Any]:
        form = draw(st.sampled_from(["text", "text", "typed", "untyped", "blank", "none", "empty"]))
        if form == "typed":
            return {"type": "message", "role": "assistant", "content": parts("output_text")}
        said: Any = mark() if form == "text" else "" if form == "blank" else []
        if form == "untyped":
            said = parts("input_text")
        kind = {"type": "message"} if form == "empty" or (draw(st.booleans()) and said) else {}
        return {**kind, "role": "assistant", "content": said}

    def called(at: int) -> dict[str, Any]:
        call_id = f"call_{at}" if draw(st.booleans()) else f"aB{at:02d}Z0000"
        call = {"type": "function_call", "call_id": call_id, "name": "look_up"}
        arguments = f'{{"word": "{mark()}"}}'
        is_cut = draw(st.integers(0, 9)) == 0
        return {**call, "arguments": arguments[:-2] if is_cut else arguments}

    def thought() -> dict[str, Any]:
        # What was thought is not looked for: templates leave it out of later prompts on purpose.
        text = {"type": "reasoning_text", "text": f"thought {next(count)}"}
        if draw(st.booleans()):
            return {"type": "reasoning", "summary": [], "content": [text]}
        return {"type": "reasoning", "summary": [{**text, "type": "summary_text"}]}

    kinds = (
        ["user"] * 3 + ["reply"] * 3 + ["call"] * 4 + ["thought", "system", "developer", "orphan"]
    )
    if foreign:
        kinds += ["foreign"] * 2 + ["unreadable"]
    items: list[Any] = []
    for kind in draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=12)):
        if kind == "reply":
            items.append(reply())
        elif kind == "thought":
            items.append(thought())
        elif kind == "orphan":
            items.append(_output(f"call_orphan_{len(items)}", mark()))
        elif kind == "foreign":
            items += FOREIGN[draw(st.sampled_from(sorted(FOREIGN)))](mark())
        elif kind == "unreadable":
            items.append(UNREADABLE[draw(st.sampled_from(sorted(UNREADABLE)))])
        elif kind == "call":
            calls = [called(len(items) + at) for at in range(draw(st.sampled_from([1, 1, 2])))]
            items += calls
            if draw(st.integers(0, 3)):
                items += [_output(call["call_id"], mark()) for call in calls]
        else:
            items.append({"role": kind, "content": content()})
    instructions = draw(st.sampled_from([None, None, mark()]))
    if instructions is None:
        marks = [mark for mark in marks if mark in str(items)]
    last = items[-1]
    if last.get("role") == "assistant" and draw(st.booleans()):
        items[-1] = {**last, "status": "in_progress"}
    return ResponsesBody(items, instructions, marks)


def drawn_bodies(count: int, *, media: bool = True, foreign: bool = True) -> list[ResponsesBody]:
    """Give so many inputs, the same ones each time: as `responses_bodies`."""
    made: list[ResponsesBody] = []

    @seed(1)
    @settings(
        max_examples=count,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(body=responses_bodies(media=media, foreign=foreign))
    def draw(body: ResponsesBody) -> None:
        made.append(body)

    draw()
    return made


def _output(call_id: str, text: str) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": text}


def as_rendered(
    messages: Sequence[Mapping[str, Any]], *, joined: bool = False
) -> list[dict[str, Any]]:
    """Give messages with one form for each thing that vLLM hands to a template alike.

    It makes no difference between null and an empty list, between a text and a list of it, nor
    between the types of text parts; and it hands on no field but these.

    Args:
        messages: The messages.
        joined: Whether texts in parts are the same as these texts with a line break between them.
    """
    return [_as_rendered(message, joined) for message in messages]


def _as_rendered(message: Mapping[str, Any], joined: bool) -> dict[str, Any]:
    content = message.get("content")
    parts = [content] if isinstance(content, str) else list(content or ())
    told = [part if isinstance(part, str) else part.get("text", part) for part in parts]
    if joined and told and all(isinstance(text, str) for text in told):
        told = ["\n".join(told)]
    seen: dict[str, Any] = {"role": message["role"], "content": told}
    for key in ("tool_calls", "reasoning", "tool_call_id", "name"):
        if message.get(key) is not None:
            seen[key] = message[key]
    return seen
