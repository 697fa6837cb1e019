"""Whether what a template reads is read as what it was, judged by renderings alone."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Protocol

from litellm_role_guard.messages.message import has_media, is_empty, plain_text
from litellm_role_guard.probing.probe import TOOLS
from litellm_role_guard.profile.states import SYSTEM_KINDS
from litellm_role_guard.template.errors import TemplateRefused

CONTROL_ROLE = "qqq"


class Renders(Protocol):
    """A chat template, or a server that renders one."""

    def render(self, messages: Sequence[Any], *, tools: Sequence[Any] | None) -> str:
        """Return the prompt; raise `TemplateRefused`."""


def read(template: Renders, messages: Sequence[Any], *, tools: bool) -> str | None:
    """Return the prompt that the template makes, or None where it refuses."""
    try:
        return template.render(messages, tools=TOOLS if tools else None)
    except TemplateRefused:
        return None


def misread(
    template: Renders, messages: Sequence[Any], *, tools: bool, empty: bool = False
) -> Iterator[int]:
    """Yield the messages that are printed as they would be in a role that nobody knows.

    System and developer messages before the first turn are left out, and later ones whose role
    names a turn at the front as well.

    Args:
        template: The template.
        messages: The conversation.
        tools: Whether tool definitions go with it.
        empty: Whether messages without any text count, where they leave a trace.
    """
    prompt = read(template, messages, tools=tools)
    if prompt is None:
        return
    at_front = True
    for at, message in enumerate(messages):
        role = message["role"]
        at_front = at_front and role in SYSTEM_KINDS
        if role == "assistant" and not is_empty(message):
            as_user = {**message, "role": "user"}
            if (
                read(template, [*messages[:at], as_user, *messages[at + 1 :]], tools=tools)
                == prompt
            ):
                yield at
        if role in ("user", "assistant") or at_front:
            continue
        without = [*messages[:at], *messages[at + 1 :]]
        if is_empty(message) and (not empty or read(template, without, tools=tools) == prompt):
            continue
        alike = {**message, "role": CONTROL_ROLE}
        if role == "tool" and not has_media(message):
            alike["content"] = plain_text(message)  # as vLLM shows the parts of a result alone
        control = [*messages[:at], alike, *messages[at + 1 :]]
        other = read(template, control, tools=tools)
        if (
            other is not None
            and _folded(prompt, role) == _folded(other, role)
            and not (role in SYSTEM_KINDS and _has_turns_of(template, role, tools=tools))
        ):
            yield at


def mispaired(template: Renders, messages: Sequence[Any], *, tools: bool) -> Iterator[int]:
    """Yield the messages of whose calls one has a result that is read as that of another call.

    Where a prompt shows no ids, a reader takes a result for that of the first call without one, of
    the calls that were made last; a further result for that of the call before.

    What is rendered has a mark in the place of each call's arguments and of each result's text:
    agents call alike more than once, and the words of a call stand elsewhere, too.
    """
    calls, owners = _calls_and_owners(messages)
    prompt = read(template, list(_marked(messages, owners)), tools=tools)
    if prompt is None:
        return
    shown = sorted(
        [(prompt.find(_call_mark(call)), call, 0) for call in calls]
        + [(prompt.find(_result_mark(at)), None, at) for at in owners],
        key=lambda each: each[0],
    )
    if any(place < 0 for place, _, _ in shown):
        return  # what is not shown tells nothing
    found: set[int] = set()
    waiting: list[_Call] = []
    answered: _Call | None = None
    for _, call, result in shown:
        if call is not None:
            waiting = [each for each in waiting if each[0] == call[0]] + [call]
            answered = None
            continue
        owner, call_id = owners[result], str(messages[result]["tool_call_id"])
        read_as = {waiting[0] if waiting else answered, answered if answered else None}
        if owner not in read_as and not _tells(prompt, messages, call_id):
            found.add(owner[0])
        if owner in waiting:
            waiting.remove(owner)
        answered = owner
    yield from sorted(found)


def _marked(messages: Sequence[Any], results: Collection[int]) -> Iterator[Any]:
    """Yield messages with a mark in each call, and in each of these results."""
    for at, message in enumerate(messages):
        if at in results:
            text = {"type": "text", "text": _result_mark(at)}
            content = message["content"]
            if isinstance(content, str):
                yield {**message, "content": text["text"]}
            else:
                media = [part for part in content if part.get("type") != "text"]
                yield {**message, "content": [text, *media]}
        elif message.get("tool_calls"):
            calls = [
                {**call, "function": {**call["function"], "arguments": _arguments(at, number)}}
                for number, call in enumerate(message["tool_calls"])
            ]
            yield {**message, "tool_calls": calls}
        else:
            yield message


def _arguments(at: int, number: int) -> str:
    return json.dumps({"mark": _call_mark((at, number))})


def _call_mark(call: _Call) -> str:
    return f"callmark{call[0]}n{call[1]}z"


def _result_mark(at: int) -> str:
    return f"resultmark{at}z"


_Call = tuple[int, int]
"""The position of a message, and that of a call in it."""


def _calls_and_owners(messages: Sequence[Any]) -> tuple[set[_Call], dict[int, _Call]]:
    """Return the calls, and the call that each result with a text answers.

    Calls whose result has no text are left out, since that stands at no place of the prompt.
    """
    calls: list[_Call] = []
    owners: dict[int, _Call] = {}
    blank: list[_Call] = []
    together: list[_Call] = []  # the last calls between which nothing was said
    is_said = False
    for at, message in enumerate(messages):
        if message["role"] == "tool":
            named = [
                call
                for call in calls
                if _id(messages, call) == str(message.get("tool_call_id"))
                and (call in together or _is_alone(messages, call, together))
            ]
            taken = [*owners.values(), *blank]
            free = [call for call in named if call in together and call not in taken]
            if named and plain_text(message):
                owners[at] = (free or named[-1:])[0]
            elif free:
                blank.append(free[0])
            continue
        speaks = message["role"] in ("user", "assistant") or not is_empty(message)
        is_said = is_said or (speaks and not message.get("tool_calls"))
        if is_said and message.get("tool_calls"):
            together, is_said = [], False
        made = [(at, number) for number, _ in enumerate(message.get("tool_calls") or ())]
        calls += made
        together += made
    return (set(calls) - set(blank)) | set(owners.values()), owners


def _id(messages: Sequence[Any], call: _Call) -> str:
    return str(messages[call[0]]["tool_calls"][call[1]].get("id"))


def _is_alone(messages: Sequence[Any], call: _Call, together: Sequence[_Call]) -> bool:
    return all(_id(messages, call) != _id(messages, each) for each in together)


def _tells(prompt: str, messages: Sequence[Any], call_id: str) -> bool:
    """Return whether an id is shown beside a call and its result, and no other beside that."""
    called = [[call.get("id") for call in each.get("tool_calls") or ()] for each in messages]
    return prompt.count(call_id) > 1 and all(ids.count(call_id) < 2 for ids in called)


def shows_images(template: Renders, *, tools: bool) -> bool:
    """Return whether an image adds something to the prompt, in a user's first turn or a later."""
    text = {"type": "text", "text": "Look."}
    image = {"type": "image_url", "image_url": {"url": "data:,"}}
    dialogue = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}]
    for before in ([], dialogue):
        shown, plain = (
            read(template, [*before, {"role": "user", "content": parts}], tools=tools)
            for parts in ([text, image], [text])
        )
        if shown is not None and _adds(shown, plain):
            return True
    return False


def _adds(prompt: str, without: str | None) -> bool:
    """Return whether a prompt has a word or a sign more than another one."""
    words, others = (Counter(re.findall(r"\w+|[^\w\s]", each or "")) for each in (prompt, without))
    return bool(words - others)


def without_trace(template: Renders, messages: Sequence[Any], *, tools: bool) -> Iterator[int]:
    """Yield the messages with an image that leaves no trace, where a user's image leaves one."""
    with_images = [at for at, message in enumerate(messages) if has_media(message)]
    prompt = read(template, messages, tools=tools) if with_images else None
    if prompt is None or not shows_images(template, tools=tools):
        return
    for at in with_images:
        text = [part for part in messages[at]["content"] if part["type"] == "text"]
        without = [*messages[:at], {**messages[at], "content": text}, *messages[at + 1 :]]
        if not _adds(prompt, read(template, without, tools=tools)):
            yield at


def is_source_code(prompt: str, own: str = "") -> bool:
    """Return whether a prompt shows a text part, or no parts, as written in source code.

    Args:
        prompt: The prompt.
        own: A prompt with the same signs of the template's own.
    """
    if re.search(r"""["']type["']: *["']text["'], *["']text["']:""", prompt):
        return True
    shown, others = (len(re.findall(r"(?<!\]\n)\[\]", each)) for each in (prompt, own))
    return shown > others


def shows_source_code(template: Renders, messages: Sequence[Any], *, tools: bool) -> bool:
    """Return whether a template shows a list of these messages as it is.

    What it writes where nobody's content is empty, or of a result without one, is its own.
    """
    prompt = read(template, messages, tools=tools) or ""
    if not is_source_code(prompt):
        return False
    said = [
        each if each["role"] == "tool" or not is_empty(each) else {**each, "content": "said"}
        for each in messages
    ]
    return is_source_code(prompt, read(template, said, tools=tools) or "")


def _folded(prompt: str, role: str) -> str:
    return re.sub(f"{role}|{CONTROL_ROLE}", CONTROL_ROLE, prompt, flags=re.IGNORECASE)


def _has_turns_of(template: Renders, role: str, *, tools: bool) -> bool:
    """Return whether the role's name stands before the text of a message at the front."""
    front = [{"role": role, "content": "frontmark"}, {"role": "user", "content": "usermark"}]
    prompt = read(template, front, tools=tools)
    return prompt is not None and role in prompt.partition("frontmark")[0].lower()
