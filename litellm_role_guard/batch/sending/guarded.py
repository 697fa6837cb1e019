"""Requests straight to a vLLM, repaired by the guard itself as its plugin does in a proxy.

What the template takes was asked of the vLLM. What it refuses all the same is learnt from: the
request is sent once more, repaired; once two different conversations have proven a lesson, it
holds for all that follow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ...backend.prompts import without_null_content
from ...endpoints.responses import ResponsesInput
from ...messages.client_words import client_words
from ...messages.message import Message
from ...profile.lessons import Lessons, conversation_id, proof_of
from ...profile.refusals import Lesson, next_lesson, read_refusal, with_lessons
from ...profile.template_profile import TemplateProfile
from ...repair.chain import Repair, repair
from .request import BatchRequest
from .target import Answer, HttpTarget

MAX_LESSONS = 3
"""How many refusals of one request may each be answered by one repaired call."""

_OWN_TEMPLATE = ("chat_template", "chat_template_kwargs")


class _Meant(NamedTuple):
    """The conversation of a request, and how it is put back."""

    messages: Sequence[Message]
    prefill: bool
    items: ResponsesInput | None

    def fields(self, messages: Sequence[Message]) -> dict[str, Any]:
        """Return the fields of the body for these messages."""
        if self.items is not None:
            return self.items.body(messages)
        return {"messages": without_null_content(messages)}


class GuardedTarget:
    """A vLLM whose requests are repaired before they are sent.

    Args:
        target: The vLLM.
        profile: What its template accepts.
    """

    def __init__(self, target: HttpTarget, profile: TemplateProfile) -> None:
        self._target = target
        self._profile = profile
        self._lessons = Lessons()

    async def ask(self, request: BatchRequest) -> Answer:
        """Send a request, and after a refusal that teaches something once more."""
        meant = _meant(request.body)
        if meant is None:
            return await self._target.ask(request)
        body, tools = request.body, request.body.get("tools")
        profile = self._profile
        lessons: list[Lesson] = []
        first: Answer | None = None
        sent = _repaired(meant, tools, profile)
        is_own = not sent.changes  # only then is a refusal that of the conversation itself
        while True:
            fields = meant.fields(sent.messages) if sent.changes else {}
            answer = await self._target.post(request.url, _replaced(body, fields))
            if answer.status != 400:
                break
            first = first or answer
            learnt = self._next(answer.words, body, profile, len(lessons))
            while learnt is not None:
                lesson, profile = learnt
                lessons.append(lesson)
                again = _repaired(meant, tools, profile)
                if again.messages != sent.messages:
                    break
                learnt = self._next(answer.words, body, profile, len(lessons))
            if learnt is None:
                return _counted(first, Repair(meant.messages, ()), 0)
            sent = again
        if lessons and answer.status == 200:
            self._keep(meant.messages, lessons, is_proof=is_own)
        return _counted(answer, sent, int(first is not None))

    def _next(
        self, words: str, body: Mapping[str, Any], profile: TemplateProfile, learnt: int
    ) -> tuple[Lesson, TemplateProfile] | None:
        """Return what a refusal teaches beyond a profile, and the profile with it."""
        # Words that the client itself said are no refusal.
        refusal = read_refusal(words, client_words(body).parameters)
        lesson = None if refusal is None else next_lesson(profile, refusal)
        if lesson is None or learnt >= 2 * MAX_LESSONS:
            return None
        return lesson, with_lessons(profile, [lesson])

    def _keep(
        self, messages: Sequence[Message], lessons: Sequence[Lesson], *, is_proof: bool
    ) -> None:
        identity = conversation_id(messages, ())
        proof = proof_of(messages) if is_proof else None
        proven = self._lessons.keep(identity, tuple(lessons), proof=proof)
        self._profile = with_lessons(self._profile, proven)


def _meant(body: Mapping[str, Any]) -> _Meant | None:
    """Return the conversation of a body; None where it has none, or a template of its own."""
    if any(body.get(name) for name in _OWN_TEMPLATE):
        return None
    messages = body.get("messages")
    if messages is not None:
        last = messages[-1]
        continued = body.get("continue_final_message") or last.get("prefix")
        return _Meant(messages, last["role"] == "assistant" and bool(continued), None)
    if "instructions" not in body and not isinstance(body.get("input"), list):
        return None  # a text is taken by every template
    try:
        items = ResponsesInput(body["input"], body.get("instructions"))
    except (KeyError, TypeError):
        return None
    return _Meant(items.messages, items.prefill, items)


def _repaired(
    meant: _Meant, tools: Sequence[Mapping[str, Any]] | None, profile: TemplateProfile
) -> Repair:
    changes, labelled = (
        ((), ()) if meant.items is None else (meant.items.changes, meant.items.labelled)
    )
    repaired = repair(
        meant.messages, profile, tools=tools, prefill=meant.prefill, labelled=labelled
    )
    return Repair(repaired.messages, (*changes, *repaired.changes))


def _replaced(body: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**body, **fields}
    return {
        name: value for name, value in merged.items() if value is not None or name not in fields
    }


def _counted(answer: Answer, sent: Repair, retried: int) -> Answer:
    changes = Counter(change.what for change in sent.changes)
    if retried:
        changes["retried"] = retried
    return Answer(
        answer.status,
        answer.body,
        answer.words,
        answer.request_id,
        answer.retry_after,
        changes,
    )
