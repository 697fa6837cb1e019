"""The laws of a repair, as functions that tell what is broken, and conversations to try them on."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from hypothesis import strategies as st

from litellm_role_guard.messages.message import has_media, is_empty
from litellm_role_guard.messages.validation import find_validation_error
from litellm_role_guard.probing.probe import TOOLS
from litellm_role_guard.profile.states import Kind
from litellm_role_guard.profile.template_profile import TemplateProfile
from litellm_role_guard.repair.chain import Repair, repair
from litellm_role_guard.template.chat_template import ChatTemplate

from .rightness import (
    Renders,
    mispaired,
    misread,
    read,
    shows_images,
    shows_source_code,
    without_trace,
)

FRONT = ("system", "developer")
IMAGE = {"type": "image_url", "image_url": {"url": "data:,"}}


@dataclass(frozen=True)
class Conversation:
    """A conversation whose texts are all different, with the message that each stands in."""

    messages: list[dict[str, Any]]
    marks: list[tuple[int, str]]

    @property
    def roles(self) -> list[str]:
        """Give the messages' roles."""
        return [message["role"] for message in self.messages]

    def new_mark(self) -> str:
        """Return a new text for the message that is added next."""
        self.marks.append((len(self.messages), f"mark{len(self.marks):03d}x"))
        return self.marks[-1][1]

    def cut(self, length: int) -> Conversation:
        """Give the first messages only."""
        return Conversation(
            self.messages[:length], [(at, mark) for at, mark in self.marks if at < length]
        )


@st.composite
def conversations(draw: st.DrawFn, *, rough: bool = False, images: bool = True) -> Conversation:
    """Give conversations of 1 to 14 messages, of all roles in any order.

    Args:
        draw: Hypothesis' source of choices.
        rough: Whether some contents are null or empty, some hold an image, some speakers have
            names, some arguments are cut short or no object, some calls share an id, and some tool
            results answer no call, come in another order, behind the next message or are missing.
        images: Whether rough ones hold images, which a model without eyes refuses.
    """
    drawn = Conversation([], [])
    messages, mark = drawn.messages, drawn.new_mark
    shows = rough and images

    def content(kind: str) -> Any:
        forms = ["text"] * 5 + ["parts", "spaced"] + (["", "null", "none"] if rough else [])
        form = draw(st.sampled_from(forms))
        if form == "parts":
            said = [{"type": "text", "text": mark()} for _ in range(draw(st.integers(1, 3)))]
            return said + [IMAGE] * (shows and kind == "user" and draw(st.integers(0, 3)) == 0)
        if form in ("text", "spaced"):
            return mark() if form == "text" else f" {mark()}\n"
        return {"": "", "null": None, "none": []}[form]

    late: list[dict[str, Any]] = []  # results that come behind the next message

    kinds = ["user"] * 3 + ["assistant"] * 2 + ["call", "system", "developer", "function"]
    for kind in draw(st.lists(st.sampled_from(kinds + ["tool"] * rough), min_size=1, max_size=14)):
        if kind != "call":
            message = {"role": kind, "content": content(kind)}
            if kind == "tool":
                message["tool_call_id"] = "call_orphan"
            if kind == "function":
                message["name"] = "look_up"
            if rough and kind in ("user", "assistant") and draw(st.integers(0, 5)) == 0:
                message["name"] = draw(st.sampled_from(["ann", "bob"]))
            messages.append(message)
            for result in late:
                messages.append({**result, "content": mark()})
            late.clear()
            continue
        said = content(kind) if draw(st.integers(0, 3)) == 0 else None
        ids = [
            f"call_{len(messages)}_{position}"
            if draw(st.booleans())
            else f"aB{len(messages):02d}Z{position:04d}"
            for position in range(draw(st.sampled_from([1, 1, 1, 2, 3])))
        ]
        if rough and len(ids) > 1 and draw(st.integers(0, 7)) == 0:
            ids[1] = ids[0]
        calls = []
        for call_id in ids:
            odd = draw(st.integers(0, 19)) if rough else 19
            if odd > 1:
                arguments = f'{{"word": "{mark()}"}}'
                arguments = arguments[:-2] if odd < 4 else arguments
                function = {"name": "look_up", "arguments": arguments}
            else:
                function = {"name": mark(), "arguments": ("null", "[]")[odd]}
            calls.append({"id": call_id, "type": "function", "function": function})
        messages.append({"role": "assistant", "content": said, "tool_calls": calls})
        answered = ids if draw(st.integers(0, 3)) else []
        if rough and len(answered) > 1 and draw(st.booleans()):
            answered = draw(st.permutations(answered))[draw(st.integers(0, 1)) :]
        results = [{"role": "tool", "tool_call_id": call_id} for call_id in answered]
        if rough and draw(st.integers(0, 7)) == 0:
            late += results
            continue
        for result in draw(st.permutations(results + late)) if late else results:
            said = {"type": "text", "text": mark()}
            has_image = shows and draw(st.integers(0, 9)) == 0
            messages.append({**result, "content": [said, IMAGE] if has_image else said["text"]})
        late.clear()
    return drawn


def broken_laws(
    template: Renders,
    profile: TemplateProfile,
    conversation: Conversation,
    *,
    tools: bool,
    judge: Renders | None = None,
) -> Iterator[str]:
    """Return the names of the laws that the repair of this conversation breaks, and how.

    Args:
        template: Renders the conversation, and what was made of it.
        profile: What it accepts.
        conversation: The conversation.
        tools: Whether tool definitions go with it.
        judge: Renders what tells whether messages are read right; the template, if None.
    """
    judge = judge or template
    messages, given = conversation.messages, TOOLS if tools else None
    before = copy.deepcopy(messages)
    repaired = repair(messages, profile, tools=given)
    if messages != before:
        yield "pure: the input was changed"
    prompt = read(template, repaired.messages, tools=tools)
    if prompt is None:
        yield "accepted: the template refuses the result"
    elif missing := unread(prompt, conversation, split=_was_split(repaired)):
        yield f"whole: {missing}"
    if found := list(misread(judge, repaired.messages, tools=tools)):
        yield f"right: {found} are printed as in a role that nobody knows"
    if found := list(without_trace(judge, repaired.messages, tools=tools)):
        yield f"whole: the images of {found} leave no trace"
    # A model without eyes cannot be shown an image: vLLM refuses the request for its own reasons.
    is_blind = any(map(has_media, messages)) and not shows_images(judge, tools=tools)
    if not is_blind and shows_source_code(template, repaired.messages, tools=tools):
        yield "right: a list is printed as it is"
    if found := list(mispaired(judge, repaired.messages, tools=tools)):
        yield f"right: the results of {found} stand with another call"
    changed = repaired.messages is not messages
    original = read(template, messages, tools=tools) if changed else prompt
    if (
        changed
        and original is not None
        and not unread(original, conversation, split=False)
        and not _is_misread(judge, messages, tools=tools)
    ):
        yield f"minimal: it was whole, and changed: {repaired.changes}"
    again = repair(repaired.messages, profile, tools=given)
    if again.messages is not repaired.messages:
        yield f"idempotent: repaired once more: {again.changes}"
    yield from _promotions(conversation, repaired)


def _is_misread(template: Renders, messages: Sequence[Any], *, tools: bool) -> bool:
    """Return whether a message is not read as what it is.

    It is in a role that nobody knows, a call's result would be, results are mispaired, or a text
    is shown as source code.
    """
    rounds = [
        [*messages[: at + 1], *_results(message)]
        for at, message in enumerate(messages)
        if message.get("tool_calls")
    ]
    if shows_source_code(template, messages, tools=tools):
        return True
    if list(without_trace(template, messages, tools=tools)):
        return True
    return bool(list(mispaired(template, messages, tools=tools))) or any(
        list(misread(template, each, tools=tools, empty=True)) for each in [messages, *rounds]
    )


def _results(message: Any) -> list[Any]:
    return [
        {"role": "tool", "tool_call_id": call["id"], "content": "a result"}
        for call in message["tool_calls"]
    ]


def unread(prompt: str, conversation: Conversation, *, split: bool) -> str:
    """Tell what is missing from a prompt, or stands out of order."""
    lead = 0
    while lead < len(conversation.messages) and conversation.messages[lead]["role"] in FRONT:
        lead += 1
    missing = [mark for _, mark in conversation.marks if mark not in prompt]
    if missing:
        return f"{missing} not in the prompt"
    # Where parallel calls became rounds, each result stands behind its own call.
    movable = ("tool", "assistant") if split else ()
    places = [
        prompt.find(mark)
        for at, mark in conversation.marks
        if at >= lead and conversation.messages[at]["role"] not in movable
    ]
    return "" if places == sorted(places) else "out of order"


def _was_split(repaired: Repair) -> bool:
    whys = ("one tool call at a time", "tell whose result it is")
    return any(why in change.why for change in repaired.changes for why in whys)


# Where a text of each role may end up: never in a turn of more authority than its own. Tool text in
# a user turn is the one rise that cannot be avoided, and it carries a label.
_MAY_STAND_IN = {
    "system": {"system", "developer", "user", "tool"},
    "developer": {"system", "developer", "user", "tool"},
    "user": {"user", "tool"},
    "assistant": {"assistant", "user", "tool"},
    "tool": {"tool", "user"},
    "function": {"function", "user", "tool"},
}


def _promotions(conversation: Conversation, repaired: Repair) -> Iterator[str]:
    for at, mark in conversation.marks:
        role = conversation.messages[at]["role"]
        for message in repaired.messages:
            if mark in str(message) and message["role"] not in _MAY_STAND_IN[role]:
                yield f"no promotion: {role} text in a {message['role']} turn"


def unstable_prefixes(
    template: ChatTemplate, profile: TemplateProfile, conversation: Conversation, *, tools: bool
) -> Iterator[str]:
    """Give the places at which a growing conversation loses its rendered beginning.

    Those are left out at which the template, or vLLM before it, loses the beginning of messages
    that nobody has repaired, or would if it took them, and those at which no rendering could be
    whole and stay: in the middle of a round of tool calls that must be split, or of which a result
    must follow.
    """
    roles = conversation.roles
    if "developer" in roles and ("developer" in roles[1:] or "system" in roles):
        return  # vLLM folds them into one, and moves it to the front
    if roles[0] in FRONT and not _keeps_dialogues(template):
        return
    rules = profile.rules(tools=tools)
    if rules.call_text != rules.open_call_text and any(
        message.get("tool_calls") and not is_empty({**message, "tool_calls": None})
        for message in conversation.messages
    ):
        return  # the template drops the text beside a call once an answer follows
    kinds: tuple[Kind, ...] = ("user", "assistant")
    pairs = rules.parallel_calls == rules.result_pairing == "accepted"
    must_finish = not (pairs and rules.may_follow("user", "call")) or not all(
        rules.may_follow(f"{side}+call", kind) for side in kinds for kind in kinds
    )
    before: str | None = None
    earlier: Sequence[Any] = ()
    for length in range(1, len(conversation.messages) + 1):
        part = conversation.cut(length)
        if find_validation_error(part.messages) is not None:
            continue
        repaired = repair(part.messages, profile, tools=TOOLS if tools else None).messages
        prompt = read(template, repaired, tools=tools)
        if (
            prompt is not None
            and before is not None
            and not prompt.startswith(before)
            and all(
                _keeps(template, messages, part, tools=tools)
                for messages in (part.messages, earlier, repaired)
            )
        ):
            yield f"prefix-stable: lost at message {length - 1}"
        before = None if prompt is None else prompt[: _last_end(prompt, part)]
        earlier = repaired
        if must_finish and _is_unfinished(part.messages, conversation.messages):
            before = None


def _keeps(
    template: ChatTemplate, messages: Sequence[Any], marked: Conversation, *, tools: bool
) -> bool:
    """Tell whether a template keeps the rendered beginning as these very messages grow."""
    before: str | None = None
    for length in range(1, len(messages) + 1):
        prompt = read(template, messages[:length], tools=tools)
        if prompt is None:
            continue
        if before is not None and not prompt.startswith(before):
            return False
        before = prompt[: _last_end(prompt, marked)]
    return True


@cache
def _keeps_dialogues(template: ChatTemplate) -> bool:
    roles = ("system", "user", "assistant", "user")
    marks = [(at, f"mark{at:03d}x") for at in range(len(roles))]
    messages = [
        {"role": role, "content": mark} for role, (_, mark) in zip(roles, marks, strict=True)
    ]
    return _keeps(template, messages, Conversation(messages, marks), tools=False)


def _last_end(prompt: str, conversation: Conversation) -> int:
    return max((prompt.rfind(mark) + len(mark) for _, mark in conversation.marks), default=0)


def _is_unfinished(messages: Sequence[Any], grown: Sequence[Any]) -> bool:
    """Tell whether a round of tool calls still lacks a result that is to come, or may come."""
    waiting: list[str] = []
    coming = [each["tool_call_id"] for each in grown[len(messages) :] if each["role"] == "tool"]
    for message in messages:
        if message.get("tool_calls"):
            waiting = [call_id for call_id in waiting if call_id in coming]
            waiting += [call["id"] for call in message["tool_calls"]]
        elif message["role"] == "tool":
            if message["tool_call_id"] in waiting:
                waiting.remove(message["tool_call_id"])
        elif not is_empty(message):
            waiting = [call_id for call_id in waiting if call_id in coming]
    return bool(waiting)
