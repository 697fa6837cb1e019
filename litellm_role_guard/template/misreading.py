"""What is in a prompt, and would still be read as something else than what was said.

Each kind is judged by renderings of the conversation itself with one thing changed: where a change
that matters leaves no trace in the prompt, a model cannot read it either.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any, Literal, NamedTuple

from ..messages.message import (
    MEDIA_KINDS,
    TEXT_KEYS,
    Message,
    content_parts,
    has_media,
    is_empty,
    is_object,
    part_text,
    plain_text,
    tool_calls,
)
from ..profile.states import SYSTEM_KINDS
from .chat_template import ChatTemplate
from .control_role import CONTROL_ROLE, is_printed_alike, opens_as_at_front
from .errors import TemplateRefused

Kind = Literal["role", "order", "source_code", "media"]
"""`role`: a turn of a role that the template only prints. `order`: a result that passes for that
of another call. `source_code`: text with its line breaks or quotes escaped. `media`: a part that
leaves no trace, or is written out in words."""


class Misreading(NamedTuple):
    """One thing that is in the prompt, or should be, and is read wrong.

    Attributes:
        message: The position of the message in what is sent.
        kind: How it is read wrong.
        why: The same in words that follow "read, but".
    """

    message: int
    kind: Kind
    why: str


Renderings = Generator[Sequence[Message], str | None, list[Misreading]]
"""Yields messages to be rendered, and is sent the prompt, or None for a refusal."""


def misreadings(messages: Sequence[Message], prompt: str) -> Renderings:
    """Return what of a conversation is read wrong, in the order of its messages.

    Args:
        messages: The conversation as it is sent.
        prompt: The prompt that is made of it.
    """
    marked = _with_marks(messages)
    marked_prompt = yield marked
    # A text that is not shown at all is lost, however it would be read.
    shown = [marked_prompt is None or _mark(at) in marked_prompt for at in range(len(messages))]
    found = yield from _in_unknown_roles(messages, prompt, shown)
    found += yield from _in_other_order(messages, prompt, shown)
    found += _as_source_code(messages, marked_prompt or "")
    found += yield from _without_media(messages, prompt)
    return sorted(found, key=lambda each: each.message)


def misreadings_by(
    template: ChatTemplate,
    messages: Sequence[Message],
    *,
    tools: Sequence[Mapping[str, Any]] | None = None,
) -> list[Misreading]:
    """Return what a template makes a model read wrong; nothing for what it refuses."""

    def render(asked: Sequence[Message]) -> str | None:
        try:
            return template.render(asked, tools=tools)
        except TemplateRefused:
            return None

    prompt = render(messages)
    if prompt is None:
        return []
    asking = misreadings(messages, prompt)
    try:
        asked = next(asking)
        while True:
            asked = asking.send(render(asked))
    except StopIteration as done:
        found: list[Misreading] = done.value
        return found


def _in_unknown_roles(
    messages: Sequence[Message], prompt: str, shown: Sequence[bool]
) -> Renderings:
    found: list[Misreading] = []
    leading = sum(1 for _ in takewhile(lambda each: each["role"] in SYSTEM_KINDS, messages))
    for at, message in enumerate(messages):
        role = message["role"]
        # Some templates take what opens the conversation for the user's, whoever says it.
        opens = at == leading and role == "assistant"
        if at < leading or (role in ("user", "assistant") and not opens) or is_empty(message):
            continue
        if plain_text(message) and not shown[at]:
            continue
        if opens:
            if prompt == (yield _with(messages, at, {**message, "role": "user"})):
                found.append(Misreading(at, "role", "as the user's words"))
            continue
        control = yield _with(messages, at, _in_control_role(message))
        if not is_printed_alike(prompt, control, role):
            continue
        if role in SYSTEM_KINDS and (yield from _has_turns_at_front(messages, at)):
            continue
        found.append(
            Misreading(at, "role", f"as a turn of role {role} that the template does not know")
        )
    return found


def _in_control_role(message: Message) -> Message:
    control = {**message, "role": CONTROL_ROLE}
    if message["role"] == "tool" and not has_media(message):
        control["content"] = plain_text(message)  # as vLLM makes it of a tool's text parts alone
    return control


def _has_turns_at_front(
    messages: Sequence[Message], at: int
) -> Generator[Sequence[Message], str | None, bool]:
    role, mark = messages[at]["role"], _mark(at)
    late = yield _with(messages, at, {**messages[at], "content": mark})
    front = [{"role": role, "content": mark}, {"role": "user", "content": "question"}]
    if messages[-1]["role"] == "assistant":  # it may be a prefill, which has to be the last one
        front.append({"role": "assistant", "content": "answer"})
    return opens_as_at_front(late, mark, (yield front), mark, role)


def _in_other_order(messages: Sequence[Message], prompt: str, shown: Sequence[bool]) -> Renderings:
    """Return the results that a model would take for those of other calls of their round."""
    found: list[Misreading] = []
    for at, message in enumerate(messages):
        order: dict[object, int] = {}
        for call in tool_calls(message):
            if call.get("id") is not None:
                order.setdefault(call["id"], len(order))
        places = [
            place
            for place in _results_behind(messages, at)
            if shown[place] and messages[place].get("tool_call_id") in order
        ]
        sent = [messages[place] for place in places]
        meant = sorted(sent, key=lambda each: order[each["tool_call_id"]])
        # Of results that say the same, any may be whose.
        if [plain_text(each) for each in sent] == [plain_text(each) for each in meant]:
            continue
        if (yield from _tells_whose(messages, prompt, at, places, meant)):
            continue
        found += [
            Misreading(place, "order", "as the result of another call: the prompt shows no ids")
            for place, one, other in zip(places, sent, meant, strict=True)
            if one is not other
        ]
    return found


def _results_behind(messages: Sequence[Message], at: int) -> Iterator[int]:
    for place in range(at + 1, len(messages)):
        if messages[place]["role"] != "tool":
            return
        yield place


def _tells_whose(
    messages: Sequence[Message],
    prompt: str,
    at: int,
    places: Sequence[int],
    meant: Sequence[Message],
) -> Generator[Sequence[Message], str | None, bool]:
    """Return whether a prompt tells whose results these are.

    Were it other calls' results, or other results' calls, the prompt would then be another one. A
    prompt with the ids of one side alone, which pairs nothing, changes in one of these cases only.

    Args:
        messages: The conversation.
        prompt: Its prompt.
        at: The position of the calls.
        places: The positions of the results.
        meant: The results in the order of their calls.
    """
    named = list(messages)
    others = list(messages)
    for place, other in zip(places, meant, strict=True):
        if "name" in messages[place] and "name" in other:
            named[place] = {**messages[place], "name": other["name"]}
        others[place] = {**messages[place], "tool_call_id": other["tool_call_id"]}
    if named != list(messages) and not _same(prompt, (yield named)):
        return True
    if _same(prompt, (yield others)):
        return False
    ids = {
        messages[place]["tool_call_id"]: other["tool_call_id"]
        for place, other in zip(places, meant, strict=True)
    }
    calls = [
        {**call, "id": ids.get(call.get("id"), call.get("id"))} for call in tool_calls(messages[at])
    ]
    return not _same(prompt, (yield _with(messages, at, {**messages[at], "tool_calls": calls})))


def _as_source_code(messages: Sequence[Message], marked_prompt: str) -> list[Misreading]:
    """Return the messages whose text is nowhere shown as text.

    A tool's result is data, which many templates write as JSON on purpose.
    """
    return [
        Misreading(at, "source_code", "as source code: its line breaks or quotes are escaped")
        for at, message in enumerate(messages)
        if message["role"] not in ("tool", "function")
        and re.search(rf'(\\n\\*"|&#34;|&quot;){_mark(at)}', marked_prompt)
        and not re.search(rf'\s"{_mark(at)}', marked_prompt)
    ]


def _without_media(messages: Sequence[Message], prompt: str) -> Renderings:
    """Return the media parts that leave no trace, or are written out as words."""
    found: list[Misreading] = []
    for at, message in enumerate(messages):
        parts = content_parts(message)
        for place, part in enumerate(parts):
            if not _is_media(part):
                continue
            rest = [*parts[:place], *parts[place + 1 :]]
            without = yield _with(messages, at, {**message, "content": rest})
            kind = MEDIA_KINDS.get(str(part.get("type")), str(part.get("type")))
            if without is not None and not _adds(prompt, without):
                found.append(Misreading(at, "media", f"its {kind} leaves no trace in the prompt"))
            elif len(_IN_WORDS.findall(prompt)) > len(_IN_WORDS.findall(without or prompt)):
                found.append(Misreading(at, "media", f"its {kind} is printed as words"))
    return found


def _adds(prompt: str, without: str) -> bool:
    """Return whether a prompt has a word or a sign more than another one: an image may also cost
    some, such as a system turn of the template's own."""
    words, others = (Counter(re.findall(r"\w+|[^\w\s]", each)) for each in (prompt, without))
    return bool(words - others)


_IN_WORDS = re.compile(r"""\{\s*['"]type['"]\s*:\s*['"](?!text\b)\w+['"]""")
"""A part that is no text, as Python or JSON would write it."""


def _is_media(part: object) -> bool:
    return (
        is_object(part)
        and part_text(part) is None
        and part.get("type") not in (*TEXT_KEYS, "tool_reference")
    )


def _mark(at: int) -> str:
    return f"zq{at}vx"


def _with_marks(messages: Sequence[Message]) -> list[Message]:
    """Return the messages with a mark behind the first text of each, on a line of its own.

    The mark's line break and quote are escaped wherever the text is shown as source code.
    """
    marked: list[Message] = []
    for at, message in enumerate(messages):
        parts = list(content_parts(message))
        place = next((place for place, part in enumerate(parts) if part_text(part)), None)
        if place is None:
            marked.append(message)
            continue
        part, mark = parts[place], f'\n"{_mark(at)}'
        if isinstance(message.get("content"), str):
            marked.append({**message, "content": part + mark})
            continue
        text = (part_text(part) or "") + mark
        parts[place] = text if isinstance(part, str) else {**part, TEXT_KEYS[part["type"]]: text}
        marked.append({**message, "content": parts})
    return marked


def _with(messages: Sequence[Message], at: int, message: Message) -> list[Message]:
    return [*messages[:at], message, *messages[at + 1 :]]


def _same(prompt: str, other: str | None) -> bool:
    # Some oracles add blanks around a prompt.
    return other is not None and prompt.strip() == other.strip()
