"""Requests straight to a vLLM, repaired by the guard itself as its plugin does in a proxy.

What the template takes was asked of the vLLM. What it refuses all the same is learnt from: the
request is sent once more, repaired; once two different conversations have proven a lesson, it
holds for all that follow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ...backend.prompts import without_null_content
from ...messages.client_words import client_words
from ...messages.message import Message
from ...profile.lessons import Lessons, conversation_id, proof_of
from ...profile.refusals import Lesson, next_lesson, read_refusal, with_lessons
from ...profile.template_profile import TemplateProfile
from ...repair.chain import Repair
from ..conversation import FileConversation, conversation_of
from ..errors import BadInput
from ..formats.request import LineRequest
from .request import BatchRequest
from .target import Answer, HttpTarget

MAX_LESSONS = 3
"""How many refusals of one request may each be answered by one repaired call."""

_OWN_TEMPLATE = ("chat_template", "chat_template_kwargs")


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
        meant = _conversation(request)
        if meant is None:
            return await self._target.ask(request)
        body = request.body
        profile = self._profile
        lessons: list[Lesson] = []
        first: Answer | None = None
        sent = meant.repaired(profile)
        is_own = not sent.changes  # only then is a refusal that of the conversation itself
        while True:
            fields = _fields(meant, sent)
            answer = await self._target.post(request.url, _replaced(body, fields))
            if answer.status != 400:
                break
            first = first or answer
            learnt = self._next(answer.words, body, profile, len(lessons))
            while learnt is not None:
                lesson, profile = learnt
                lessons.append(lesson)
                again = meant.repaired(profile)
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


def _conversation(request: BatchRequest) -> FileConversation | None:
    """Return the conversation of a request; None where there is none to repair."""
    if any(request.body.get(name) for name in _OWN_TEMPLATE):
        return None  # of which nothing was asked
    try:
        return conversation_of(LineRequest(request.body, request.url))
    except BadInput:
        return None  # the vLLM says what is wrong with it


def _fields(meant: FileConversation, sent: Repair) -> dict[str, Any]:
    """Return the fields of the body that hold what is sent; none where nothing was changed."""
    if not sent.changes:
        return {}
    fields = meant.fields(sent.messages)
    if "messages" in fields:
        fields["messages"] = without_null_content(fields["messages"])
    return fields


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
