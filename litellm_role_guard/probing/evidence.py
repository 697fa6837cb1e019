"""Which conversation proved each answer of a profile.

Learning keeps the answers only. A witness also keeps the questions and what was read of them, so
that a person can look an answer up, and put its conversation to the backend again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from ..messages.message import Message, tool_calls
from ..profile.rules import Answer, Rules
from ..profile.template_profile import TemplateProfile
from ..template.chat_template import ChatTemplate
from ..template.errors import TemplateRefused
from .local import learn
from .probe import TOOLS, Probe, Rendering, judge

_CALL_ID_CHARS = 9  # what the strictest templates take


Finding = Literal["accepted", "refused", "not_read", "yes", "no"]
"""An answer of the profile; `yes` or `no` where a field lists what it holds for."""


class Evidence(NamedTuple):
    """An answer, and the conversation that decided it.

    Attributes:
        field: The field of the profile.
        shape: The keys that lead to the answer within the field; empty where there is just one.
        tools: Whether it holds for requests that bring tools, or for those that do not.
        answer: What the profile says.
        messages: The conversation; its texts are marks.
    """

    field: str
    shape: tuple[str, ...]
    tools: bool
    answer: Finding
    messages: list[Message]

    @property
    def conversation(self) -> str:
        """The conversation in short, such as `user, assistant, system, user`."""
        called: list[str] = []
        return ", ".join(_in_short(message, called) for message in self.messages)


class ProbeRecorder:
    """Keeps every question that was asked on the way to a profile, with its reading."""

    def __init__(self) -> None:
        self.renderings: list[tuple[Probe, Rendering]] = []

    def take(self, renderings: Iterable[tuple[Probe, Rendering]]) -> None:
        """Keep some questions with their readings."""
        self.renderings.extend(renderings)

    def learn(self, template: ChatTemplate) -> TemplateProfile:
        """Learn a profile from a template, and keep what was asked and read."""

        def read(probe: Probe) -> Rendering:
            rendering = _read(template, probe)
            self.renderings.append((probe, rendering))
            return rendering

        return learn(read, tools=template.reads_tools)

    def evidence(self, profile: TemplateProfile) -> list[Evidence]:
        """Return the proof of every answer that was asked for, in the order of the questions.

        Args:
            profile: What was learnt of the questions that this witness has seen.
        """
        found: dict[tuple[bool, tuple[str, ...]], Evidence] = {}
        agrees: set[tuple[bool, tuple[str, ...]]] = set()
        for probe, rendering in self.renderings:
            if not probe.profile_path:
                continue
            decided = _answer(profile.rules(tools=probe.tools), probe.profile_path)
            if decided is None:
                continue  # a question that only tells whether another one counts
            field, shape, answer = decided
            key = probe.tools, (field, *shape)
            judged = judge(rendering, probe.marks, probe.unordered_marks)
            agreed = judged == answer or _is_sign(judged, answer)
            # An answer that a better way of asking won is not proved by the ways that failed.
            if key not in found or (key not in agrees and agreed):
                found[key] = Evidence(field, shape, probe.tools, answer, probe.messages)
            if agreed:
                agrees.add(key)
        return list(found.values())


@dataclass(frozen=True)
class Learnt:
    """A profile, and how it was learnt.

    Attributes:
        source: The template's path, or the backend's model and address.
        profile: What was learnt.
        recorder: What was asked.
        seconds: How long it took.
    """

    source: str
    profile: TemplateProfile
    recorder: ProbeRecorder
    seconds: float

    @property
    def cost(self) -> str:
        """How many questions were asked, and how long that took."""
        return f"{len(self.recorder.renderings)} questions in {self.seconds * 1000:.0f} ms"

    def evidence(self) -> list[Evidence]:
        """Return every answer that was asked for, with its proof."""
        return self.recorder.evidence(self.profile)

    def as_json(self) -> str:
        """Return the profile as it is kept, every answer with its proof, and the cost, as JSON."""
        answers = [
            {
                "field": proof.field,
                "shape": list(proof.shape),
                "tools": proof.tools,
                "answer": proof.answer,
                "conversation": proof.conversation,
                "messages": proof.messages,
            }
            for proof in self.evidence()
        ]
        told = {
            "source": self.source,
            "questions": len(self.recorder.renderings),
            "milliseconds": round(self.seconds * 1000, 1),
            "profile": self.profile.model_dump(mode="json"),
            "answers": answers,
        }
        return json.dumps(told, indent=2, ensure_ascii=False)


def _read(template: ChatTemplate, probe: Probe) -> Rendering:
    try:
        return template.render(probe.messages, tools=TOOLS if probe.tools else None)
    except TemplateRefused:
        return None


def _answer(rules: Rules, path: tuple[str, ...]) -> tuple[str, tuple[str, ...], Finding] | None:
    """Follow a path into the rules, as far as there is an answer; None where there is none."""
    field, *keys = path
    value = getattr(rules, field)
    shape: list[str] = []
    while isinstance(value, dict) and keys:
        shape.append(keys.pop(0))
        # A list that would be empty is left out.
        value = value.get(shape[-1], [] if keys else None)
    if isinstance(value, list):
        return field, (*shape, keys[0]), "yes" if keys[0] in value else "no"
    return None if value is None else (field, tuple(shape), value)


def _is_sign(judged: Answer, finding: Finding) -> bool:
    """Return whether a judgement speaks for a field that lists what it holds for, or against it."""
    return finding in ("yes", "no") and (judged == "accepted") == (finding == "yes")


def _in_short(message: Message, called: list[str]) -> str:
    """Return a message's kind and what is special about it; `called` takes its calls' ids."""
    calls = tool_calls(message)
    content = message.get("content")
    special = []
    if calls:
        ids = [str(call["id"]) for call in calls]
        special += ["with text"] * bool(content)
        special += ["id as before"] * any(call_id in called for call_id in ids)
        special += ["long id"] * any(len(call_id) > _CALL_ID_CHARS for call_id in ids)
        called += ids
        kind = "call" if len(calls) == 1 else f"{len(calls)} calls"
    else:
        kind = message["role"]
        if kind == "tool" and message["tool_call_id"] not in called:
            special.append("of no call")
        if content is None:
            special.append("null")
        elif isinstance(content, list):
            special.append(f"{len(content)} parts")
        elif not content:
            special.append("empty")
    return f"{kind} ({', '.join(special)})" if special else kind
