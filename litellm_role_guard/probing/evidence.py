"""Which conversation proved each answer of a profile.

Learning keeps the answers only. A `ProbeRecorder` also keeps the probes and their renderings, so
that a person can look an answer up and send its conversation to the backend again.
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
from .local import learn, rendered
from .probe import Probe, Rendering, judge

_CALL_ID_CHARS = 9  # the length that the strictest templates want


Finding = Literal["accepted", "refused", "not_read", "unknown", "yes", "no"]
"""An answer of the profile; `yes` or `no` for a field that lists what it holds for."""


class Evidence(NamedTuple):
    """An answer, and the conversation that decided it.

    Attributes:
        field: The field of the profile.
        shape: The keys of the answer within the field; empty if the field is the answer.
        tools: Whether it holds for requests with tools, or for those without.
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
        earlier_ids: list[str] = []
        return ", ".join(_in_short(message, earlier_ids) for message in self.messages)


class ProbeRecorder:
    """Keeps every probe on the way to a profile, with its rendering."""

    def __init__(self) -> None:
        self.renderings: list[tuple[Probe, Rendering]] = []

    def take(self, renderings: Iterable[tuple[Probe, Rendering]]) -> None:
        """Keep probes with their renderings."""
        self.renderings.extend(renderings)

    def learn(self, template: ChatTemplate) -> TemplateProfile:
        """Learn a profile from a template, and keep its probes and their renderings."""

        def read(probe: Probe) -> Rendering:
            rendering = _read(template, probe)
            self.renderings.append((probe, rendering))
            return rendering

        return learn(read, tools=template.reads_tools)

    def evidence(self, profile: TemplateProfile) -> list[Evidence]:
        """Return the evidence of every answer, in the order of the probes.

        Args:
            profile: What was learnt from the probes of this recorder.
        """
        found: dict[tuple[bool, tuple[str, ...]], Evidence] = {}
        agrees: set[tuple[bool, tuple[str, ...]]] = set()
        for probe, rendering in self.renderings:
            if not probe.profile_path:
                continue
            decided = _answer(profile.rules(tools=probe.tools), probe.profile_path)
            if decided is None:
                continue  # a control probe, which only decides whether another one counts
            field, shape, answer = decided
            key = probe.tools, (field, *shape)
            judged = judge(rendering, probe.marks, probe.unordered_marks)
            # Only a control probe tells an unknown role from an accepted one.
            agreed = judged == ("accepted" if answer == "unknown" else answer)
            agreed = agreed or _is_sign(judged, answer)
            # Several conversations may have been tried. One that agrees with the answer proves it.
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
        recorder: The probes and their renderings.
        seconds: How long it took.
    """

    source: str
    profile: TemplateProfile
    recorder: ProbeRecorder
    seconds: float

    @property
    def cost(self) -> str:
        """The number of probes and the time that they took, as text."""
        return f"{len(self.recorder.renderings)} questions in {self.seconds * 1000:.0f} ms"

    def evidence(self) -> list[Evidence]:
        """Return the evidence of every answer."""
        return self.recorder.evidence(self.profile)

    def as_json(self) -> str:
        """Return the profile, the evidence of every answer and the cost, as JSON."""
        answers = [
            {
                "field": evidence.field,
                "shape": list(evidence.shape),
                "tools": evidence.tools,
                "answer": evidence.answer,
                "conversation": evidence.conversation,
                "messages": evidence.messages,
            }
            for evidence in self.evidence()
        ]
        document = {
            "source": self.source,
            "questions": len(self.recorder.renderings),
            "milliseconds": round(self.seconds * 1000, 1),
            "profile": self.profile.model_dump(mode="json"),
            "answers": answers,
        }
        return json.dumps(document, indent=2, ensure_ascii=False)


def _read(template: ChatTemplate, probe: Probe) -> Rendering:
    try:
        return rendered(template, probe)
    except TemplateRefused:
        return None


def _answer(rules: Rules, path: tuple[str, ...]) -> tuple[str, tuple[str, ...], Finding] | None:
    """Return field, shape and answer at a path, as deep as the field is; None if there is none."""
    field, *keys = path
    value = getattr(rules, field)
    shape: list[str] = []
    while isinstance(value, dict) and keys:
        shape.append(keys.pop(0))
        # Empty lists are left out of the rules.
        value = value.get(shape[-1], [] if keys else None)
    if isinstance(value, list):
        return field, (*shape, keys[0]), "yes" if keys[0] in value else "no"
    return None if value is None else (field, tuple(shape), value)


def _is_sign(judged: Answer, finding: Finding) -> bool:
    """Return whether a probe's answer agrees with a `yes` or `no` of the profile."""
    return finding in ("yes", "no") and (judged == "accepted") == (finding == "yes")


def _in_short(message: Message, earlier_ids: list[str]) -> str:
    """Return a message's kind and what is special about it; add its call ids to `earlier_ids`."""
    calls = tool_calls(message)
    content = message.get("content")
    special = []
    if calls:
        ids = [str(call["id"]) for call in calls]
        special += ["with text"] * bool(content)
        special += ["id as before"] * any(call_id in earlier_ids for call_id in ids)
        special += ["long id"] * any(len(call_id) > _CALL_ID_CHARS for call_id in ids)
        earlier_ids += ids
        kind = "call" if len(calls) == 1 else f"{len(calls)} calls"
    else:
        kind = message["role"]
        if kind == "tool" and message["tool_call_id"] not in earlier_ids:
            special.append("of no call")
        if content is None:
            special.append("null")
        elif isinstance(content, list):
            special.append(f"{len(content)} parts")
        elif not content:
            special.append("empty")
    return f"{kind} ({', '.join(special)})" if special else kind
