"""Requests straight to a vLLM, repaired by the guard itself as its plugin does in a proxy.

What the template takes was asked of the vLLM; what no vLLM takes is written in the forms that it
does. What it refuses all the same is learnt from: the request is sent once more, repaired; once
two different conversations have proven a lesson, it holds for all that follow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
        body, first = request.body, None
        tried = _Tried(self._profile, meant.repaired(self._profile))
        for _ in range(MAX_LESSONS + 1):
            answer = await self._target.post(request.url, _replaced(body, tried.fields(meant)))
            if answer.status != 400:
                break
            first = first or answer
            again = tried.after_refusal(answer.words, body, meant)
            if again is None:
                break
            tried = again
        if first is None:
            return replace(answer, changes=tried.counts())
        if answer.status == 400:
            return first
        if answer.status == 200:
            self._keep(meant.messages, tried)
        return replace(answer, changes={**tried.counts(), "retried": 1})

    def _keep(self, messages: Sequence[Message], tried: _Tried) -> None:
        proof = proof_of(messages) if tried.may_prove else None
        identity = conversation_id(messages, ())
        proven = self._lessons.keep(identity, tried.lessons, proof=proof)
        self._profile = with_lessons(self._profile, proven)


@dataclass(frozen=True)
class _Tried:
    """One form of a conversation that was sent.

    Attributes:
        profile: What the template was thought to accept.
        repair: What was sent.
        lessons: What refusals have taught beyond what was known.
        may_prove: Whether an answer may prove them for other conversations.
    """

    profile: TemplateProfile
    repair: Repair
    lessons: tuple[Lesson, ...] = ()
    may_prove: bool = True

    def fields(self, meant: FileConversation) -> dict[str, Any]:
        """Return the fields of the body that hold it; none where nothing was changed."""
        if not self.repair.changes:
            return {}
        fields = meant.fields(self.repair.messages)
        if "messages" in fields:
            fields["messages"] = without_null_content(fields["messages"])
        return fields

    def counts(self) -> Counter[str]:
        """Return how many changes of each kind were made."""
        return Counter(change.what for change in self.repair.changes)

    def after_refusal(
        self, words: str, body: Mapping[str, Any], meant: FileConversation
    ) -> _Tried | None:
        """Return another form that the words of a refusal suggest; None where there is none.

        As in the plugin, words that the client itself said in its parameters are no refusal, and
        those that it said anywhere, or that are about what the guard has changed, prove nothing.
        """
        said = client_words(body)
        refusal = read_refusal(words, said.parameters)
        may_prove = self.may_prove and read_refusal(words, said.all) == refusal
        if not self.lessons and self.repair.changes:
            may_prove = False
        profile, lessons = self.profile, self.lessons
        while refusal is not None and (lesson := next_lesson(profile, refusal)) is not None:
            profile, lessons = with_lessons(profile, [lesson]), (*lessons, lesson)
            repair = meant.repaired(profile)
            if repair.messages != self.repair.messages:
                return _Tried(profile, repair, lessons, may_prove)
        return None


def _conversation(request: BatchRequest) -> FileConversation | None:
    """Return the conversation of a request; None where there is none to repair."""
    if any(request.body.get(name) for name in _OWN_TEMPLATE):
        return None  # of which nothing was asked
    try:
        meant = conversation_of(LineRequest(request.body, request.url))
    except BadInput:
        return None  # the vLLM says what is wrong with it
    return None if meant is None else meant.in_taken_forms()


def _replaced(body: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**body, **fields}
    return {
        name: value for name, value in merged.items() if value is not None or name not in fields
    }
