"""One request on its way to one deployment: repaired before it is sent, and after a refusal."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..backend.backend import Backend
from ..endpoints.conversation import RequestConversation
from ..messages.message import Message
from ..observability.counts import Counts
from ..observability.report import Report
from ..profile.refusals import Refusal, read_refusal, teach
from ..profile.stricter import stricter_profiles
from ..profile.template_profile import TemplateProfile
from ..repair.chain import repair
from ..repair.change import Change
from ..repair.error_turns import WithoutErrors, without_errors
from ..template.rendering_fault import rendering_fault
from .deployments import Deployment
from .profile_refresher import ProfileRefresher


class GuardedCall:
    """One request on its way to one deployment.

    Args:
        conversation: The request as the client meant it.
        deployment: Who is to answer.
        backend: Returns how the backend is asked; None where it is not to be asked.
        tools: The request's tool definitions.
        report: Where to write down what is done.
        counts: Where to count it.
        teaches: Whether lessons from its refusals may hold for other requests.
    """

    def __init__(
        self,
        conversation: RequestConversation,
        deployment: Deployment,
        *,
        backend: Callable[[], Backend | None] | None,
        tools: Sequence[Mapping[str, Any]] | None,
        report: Report,
        counts: Counts,
        teaches: bool = True,
    ) -> None:
        self._conversation = conversation
        self._deployment = deployment
        self._backend = backend
        self._tools = tools
        self._report = report
        self._counts = counts
        self._teaches = teaches
        self._base = self._profile = deployment.profile
        self._meant = _meant(conversation, deployment)
        self._sent: Sequence[Message] = conversation.messages
        self._patience = deployment.settings.learn_wait
        self._has_confirmed = False

    async def arguments(self) -> dict[str, Any] | None:
        """Repair the request; return the arguments that change, or None where none do."""
        if (asked := self._asked()) is not None:
            learner, backend = asked
            # What every template takes need not wait for the answer.
            wait = 0.0 if _is_lone_text(self._meant.messages) else self._patience
            since = time.monotonic()
            await learner.ready(backend, wait)
            self._patience -= time.monotonic() - since
            self._base = self._profile = self._deployment.profile
        self._repair()
        return self._conversation.arguments(self._sent) if self._report.changes else None

    async def after_refusal(self, words: str) -> Mapping[str, Any] | None:
        """Repair the client's own messages again, with what a refusal teaches.

        The lessons stay with this attempt until it is answered: a conversation that the backend
        refuses for reasons of its own must not change how all others are repaired. Where no lesson
        helps, or nobody knows the words, the backend is asked what it takes now.

        Args:
            words: The words with which the backend refused what was sent last.

        Returns:
            The fields of the body to send instead, or None where the same would be sent again.
        """
        refusal = read_refusal(words)
        asked = self._asked()
        if refusal is not None and asked is not None:
            learner, backend = asked
            learner.on_refusal(backend)
        if not (
            self._repaired_with_later_lessons()
            or (refusal is not None and self._repaired_with(refusal))
            or await self._repaired_after_relearning(words)
        ):
            return None
        self._report.retried += 1
        self._counts.add("retried")
        return self._conversation.body(self._sent)

    def finished(self, *, answered: bool) -> None:
        """Keep the lessons if they helped, and write the log line.

        Args:
            answered: Whether the backend took what was sent last.
        """
        if answered and self._teaches:
            self._deployment.keep(self._base, self._profile)
        self._report.log()

    def failed(self) -> None:
        """Count an error of the guard's own."""
        self._counts.add("failed")

    def _asked(self) -> tuple[ProfileRefresher, Callable[[], Backend | None]] | None:
        learner = self._deployment.learner
        return None if learner is None or self._backend is None else (learner, self._backend)

    async def _repaired_after_relearning(self, words: str) -> bool:
        asked = self._asked()
        if asked is None or self._has_confirmed:
            return False
        self._has_confirmed = True
        learner, backend = asked
        await learner.confirm_refusal(backend, self._sent, self._tools, words, self._patience)
        return self._repaired_with_later_lessons()

    def _repaired_with_later_lessons(self) -> bool:
        # The refusal may be one that another request has learnt from while this one was away.
        if self._deployment.profile is self._base:
            return False
        self._base = self._profile = self._deployment.profile
        return self._repair()

    def _repaired_with(self, refusal: Refusal) -> bool:
        while (taught := teach(self._profile, refusal)) is not self._profile:
            self._profile = taught
            if self._repair():
                return True
        return False

    def _repair(self) -> bool:
        """Repair the client's own messages; return whether there is anything new to send."""
        sent = self._sent
        self._repair_for(self._profile)
        if self._deployment.settings.verify:
            self._verify()
        return bool(self._sent != sent)

    def _repair_for(self, profile: TemplateProfile) -> None:
        conversation, meant = self._conversation, self._meant
        repaired = repair(
            meant.messages,
            profile,
            tools=self._tools,
            separator=self._deployment.settings.separator,
            placeholder=self._deployment.settings.placeholder,
            prefill=conversation.prefill,
        )
        self._sent = repaired.messages
        changes = (
            change._replace(messages=tuple(meant.origins[at] for at in change.messages))
            for change in repaired.changes
        )
        self._report.changes = (*conversation.changes, *meant.changes, *changes)

    def _verify(self) -> None:
        """Have the template render what is to be sent, and change more where it reads less."""
        fault = self._fault()
        if fault is None:
            return
        sent, changes = self._sent, self._report.changes
        for stricter in stricter_profiles(self._profile, fault):
            self._repair_for(stricter)
            if self._fault() is None:
                self._counts.add("verified")
                note = Change("verify", (), "the template reads less than its profile says")
                self._report.changes = (*self._report.changes, note)
                return
        self._counts.add("unverified")
        note = Change("unverified", (), "the template reads no form of this conversation whole")
        self._sent, self._report.changes = sent, (*changes, note)

    def _fault(self) -> str | None:
        template = self._deployment.template
        if template is None:
            return None
        return rendering_fault(
            template,
            self._meant.messages,
            self._conversation.read_back(self._sent),  # what counts is what arrives
            tools=self._tools,
            prefill=self._conversation.prefill,
        )


def _meant(conversation: RequestConversation, deployment: Deployment) -> WithoutErrors:
    """Return the conversation without the errors that are to be dropped."""
    settings, messages = deployment.settings, conversation.messages
    # An error is nothing that the backend would refuse, and no reason to reject a request.
    if settings.error_turns == "keep" or settings.mode == "reject":
        return WithoutErrors(messages, range(len(messages)))
    return without_errors(messages, settings.error_patterns, prefill=conversation.prefill)


def _is_lone_text(messages: Sequence[Message]) -> bool:
    return (
        len(messages) == 1
        and messages[0]["role"] == "user"
        and isinstance(messages[0].get("content"), str)
    )
