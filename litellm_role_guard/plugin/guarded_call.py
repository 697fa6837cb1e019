"""One request on its way to one deployment: repaired before it is sent, and after a refusal."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from ..backend.backend import Backend
from ..config.settings import DeploymentSettings
from ..endpoints.conversation import RequestConversation
from ..messages.client_words import client_words
from ..messages.message import Message
from ..observability.counts import Counts
from ..observability.log import log_failure
from ..observability.report import Report, role_runs
from ..profile.lessons import ConversationId, conversation_id, proof_of
from ..profile.refusals import Lesson, Refusal, next_lesson, read_refusal, with_lessons
from ..profile.stricter import stricter_profiles
from ..profile.template_profile import TemplateProfile
from ..repair.chain import Repair, repair
from ..repair.change import Change
from ..repair.error_turns import WithoutErrors
from ..template.rendering_fault import rendering_fault
from .client_markers import IN_FIELDS, without_markers
from .deployments import Deployment
from .profile_refresher import ProfileRefresher
from .workload import Workload

_NO_TOOLS = Change("tools", (), "vLLM takes no empty list of tools in a chat completion")


class GuardedCall:
    """One request on its way to one deployment.

    Args:
        conversation: The request as the client meant it.
        deployment: Who is to answer.
        settings: Those that hold for the request.
        backend: Returns how the backend is asked; None where it is not to be asked.
        tools: The request's tool definitions.
        beside: What of the request is searched for markers of turns beside its conversation.
        needs_tools: Whether the backend refuses an empty list of them, so that it is left out.
        report: Where to write down what is done.
        counts: Where to count it.
        owner: Whose request it is; lessons of one client's conversation are not another's.
        teaches: Whether its refusals say anything of other requests.
        workload: Where the work on the conversation is done.
        meant: What `meant_by` returns for the conversation.
    """

    def __init__(
        self,
        conversation: RequestConversation,
        deployment: Deployment,
        settings: DeploymentSettings,
        *,
        backend: Callable[[], Backend | None] | None,
        tools: Sequence[Mapping[str, Any]] | None,
        beside: Mapping[str, Any],
        needs_tools: bool,
        report: Report,
        counts: Counts,
        owner: tuple[str, ...] = (),
        teaches: bool = True,
        workload: Workload,
        meant: WithoutErrors,
    ) -> None:
        self._conversation = conversation
        self._deployment = deployment
        self._settings = settings
        self._backend = backend
        self._tools, self._beside = tools, beside
        self._inert: Mapping[str, Any] = {}  # of these, what held a marker
        left_out = ("tools", "tool_choice") if needs_tools and tools == [] else ()
        self._left_out = dict.fromkeys(left_out)
        self._report, self._counts = report, counts
        self._owner = owner
        self._teaches = teaches
        self._workload = workload
        self._id: ConversationId | None = None
        self._profile: TemplateProfile
        self._lessons: tuple[Lesson, ...]
        self._adopt_profile()
        self._needed_lessons: tuple[Lesson, ...] = ()
        self._refusals = 0
        self._may_prove = True
        self._meant = meant
        self._labelled: Collection[int] = ()
        if conversation.labelled:
            origins = enumerate(self._meant.origins)
            self._labelled = {at for at, origin in origins if origin in conversation.labelled}
        self._sent: Sequence[Message] = conversation.messages
        self._patience = settings.learn_wait
        self._has_confirmed = False

    async def arguments(self) -> dict[str, Any] | None:
        """Repair the request; return the arguments that change, or None where none do."""
        if (asked := self._asked()) is not None:
            learner, backend = asked
            # What every template takes need not wait for the answer, unless markers matter.
            is_taken = self._settings.control_tokens == "allow" and _is_lone_text(
                self._meant.messages
            )
            wait = 0.0 if is_taken else self._patience
            since = time.monotonic()
            await learner.ready(backend, wait)
            self._patience -= time.monotonic() - since
            self._adopt_profile()
        return await self._workload.do(self._repaired_arguments)

    async def after_refusal(self, words: str, body: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Repair the client's own messages again, with what a refusal teaches.

        The lessons stay with this attempt until it is answered: a conversation that the backend
        refuses for reasons of its own must not change how all others are repaired. Where no lesson
        helps, or nobody knows the words, the backend is asked what it takes now.

        Args:
            words: The words with which the backend refused what was sent last.
            body: The body that was sent.

        Returns:
            The fields of the body to send instead, or None where the same would be sent again.
        """
        refusal = await self._workload.do(self._read_reply, words, body)
        asked = self._asked()
        if refusal is not None and asked is not None:
            learner, backend = asked
            learner.on_refusal(backend)
        if not (
            await self._repaired_with_later_lessons()
            or (refusal is not None and await self._workload.do(self._repaired_with, refusal))
            or await self._repaired_after_relearning(words)
        ):
            return None
        if self._teaches:
            self._needed_lessons = await self._workload.do(self._needed)
        self._report.retried += 1
        self._counts.add("retried")
        return await self._workload.do(self._conversation.body, self._sent)

    def finished(self, *, answered: bool) -> None:
        """Keep the lessons if they helped, and write the log line of an answered request.

        Args:
            answered: Whether the backend took what was sent last.
        """
        try:
            if answered and self._refusals and self._needed_lessons:
                self._deployment.keep(
                    self._conversation_id,
                    self._learnt,
                    self._needed_lessons,
                    proof=self._proof(),
                )
        except Exception as error:
            # The answer is the client's, whatever goes wrong with what it teaches.
            log_failure("role guard failed to keep a lesson", error)
            self.failed()
        try:
            if answered:
                self._report.log()
        except Exception as error:  # a logging filter or handler of somebody else's
            log_failure("role guard failed to write its log line", error)
            self.failed()

    def refused_unheard(self, words: str, arguments: Mapping[str, Any]) -> None:
        """Have the next attempt at this conversation, LiteLLM's own, try what a refusal teaches.

        For calls that no client of the guard's made. An attempt that is answered proves it, as far
        as LiteLLM tells: `answered_unheard`.

        Args:
            words: The words of LiteLLM's error.
            arguments: The call's arguments.
        """
        if not self._teaches:
            return
        refusal = self._read(words, arguments, self._conversation.arguments(self._sent))
        if refusal is None:
            return
        asked = self._asked()
        if asked is not None:
            learner, backend = asked
            learner.on_refusal(backend)
        changes = self._report.changes
        lessons = self._needed() if self._repaired_with(refusal) else ()
        self._report.changes = changes  # those of what was sent
        self._deployment.lessons.suggest(self._conversation_id, lessons, proof=self._proof())

    def answered_unheard(self) -> None:
        """Keep the lessons that this attempt tried, which no client of the guard's made."""
        if self._teaches and self._lessons:
            self._deployment.answered(self._conversation_id, self._lessons)

    def failed(self) -> None:
        """Count an error of the guard's own."""
        self._counts.add("failed")
        self._deployment.metrics.error()

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
        return await self._repaired_with_later_lessons()

    async def _repaired_with_later_lessons(self) -> bool:
        # The refusal may be one that another request has learnt from while this one was away.
        if self._deployment.profile is self._base:
            return False
        self._adopt_profile()
        return await self._workload.do(self._repair)

    def _repaired_with(self, refusal: Refusal) -> bool:
        while (lesson := next_lesson(self._profile, refusal)) is not None:
            self._profile = with_lessons(self._profile, [lesson])
            self._lessons = (*self._lessons, lesson)
            if self._repair():
                return True
        return False

    def _adopt_profile(self) -> None:
        """Take over what is known of the deployment by now, and of this conversation."""
        deployment = self._deployment
        self._base, self._learnt = deployment.profile, deployment.learnt
        self._lessons = ()
        if self._teaches and deployment.lessons.are_remembered:
            self._lessons = deployment.lessons.of(self._conversation_id)
        self._profile = with_lessons(self._base, self._lessons)

    def _needed(self) -> tuple[Lesson, ...]:
        """Return the lessons without which something else would have been sent."""
        needed = self._lessons
        sent = self._repaired(self._profile).messages
        for lesson in self._lessons:
            others = tuple(other for other in needed if other != lesson)
            if self._repaired(with_lessons(self._base, others)).messages == sent:
                needed = others
        return needed

    @property
    def _conversation_id(self) -> ConversationId:
        if self._id is None:
            self._id = conversation_id(self._conversation.messages, self._owner)
        return self._id

    def _proof(self) -> bytes | None:
        return proof_of(self._conversation.messages) if self._may_prove else None

    def _read(
        self, words: str, sent: Mapping[str, Any], meant: Mapping[str, Any]
    ) -> Refusal | None:
        """Return what a refusal is about, and note whether its lessons may hold for others.

        They may where the client's own conversation was refused, as it came: a refusal of what the
        guard has changed may be the guard's own doing. And only in words that nobody said in it.

        Args:
            words: The words of the refusal.
            sent: The fields that were sent.
            meant: Those of them that hold the conversation, as the guard has given them.
        """
        said = client_words(sent)
        refusal = read_refusal(words, said.parameters)
        self._deployment.metrics.refused(None if refusal is None else refusal.family)
        is_changed = not self._refusals and bool(self._report.changes)
        self._refusals += 1
        if is_changed or read_refusal(words, said.all) != refusal or not _holds(sent, meant):
            self._may_prove = False
        return refusal

    def _read_reply(self, words: str, body: Mapping[str, Any]) -> Refusal | None:
        return self._read(words, body, self._conversation.body(self._sent))

    def _repaired_arguments(self) -> dict[str, Any] | None:
        self._repair()
        if not self._report.changes:
            return None
        return {**self._conversation.arguments(self._sent), **self._left_out, **self._inert}

    def _repair(self) -> bool:
        """Repair the client's own messages; return whether there is anything new to send."""
        sent = self._sent
        self._repair_for(self._profile)
        if self._settings.verify:
            self._verify()
        if self._report.changes:
            self._tell_roles()
        return bool(self._sent != sent)

    def _tell_roles(self) -> None:
        """Note the roles before and after, and how long a run of user messages was merged."""
        before = [str(message["role"]) for message in self._conversation.messages]
        after = [str(message["role"]) for message in self._sent]
        report = self._report
        report.roles = role_runs(before), role_runs(after)
        runs = [
            len(change.messages)
            for change in report.changes
            if change.what == "merged"
            and len(change.messages) >= self._settings.long_run
            and all(before[at : at + 1] == ["user"] for at in change.messages)
        ]
        report.long_run = max(runs, default=0)

    def _repair_for(self, profile: TemplateProfile) -> None:
        conversation, meant = self._conversation, self._meant
        if self._settings.control_tokens == "escape" and self._beside:
            self._inert = without_markers(self._beside, self._base)
            self._tools = self._inert.get("tools", self._tools)
        repaired = self._repaired(profile)
        self._sent = repaired.messages
        changes = (
            change._replace(messages=tuple(meant.origins[at] for at in change.messages))
            for change in repaired.changes
            # A client's label stands in the way of the guard's own, which reject does not write.
            if change.what != "labels" or self._settings.mode != "reject"
        )
        self._report.changes = (
            *conversation.changes,
            *((_NO_TOOLS,) if self._left_out else ()),
            *meant.changes,
            *changes,
            *(IN_FIELDS if self._inert else ()),
        )

    def _repaired(self, profile: TemplateProfile) -> Repair:
        profile = profile.with_markers_of(self._base)
        return repair(
            self._meant.messages,
            profile,
            tools=self._tools,
            separator=self._settings.separator,
            placeholder=self._settings.placeholder,
            prefill=self._conversation.prefill,
            labelled=self._labelled,
            label_form=self._settings.labels,
            escape_markers=self._settings.control_tokens == "escape",
        )

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


def _holds(sent: Mapping[str, Any], meant: Mapping[str, Any]) -> bool:
    """Return whether fields stand as they are among others."""
    return all(
        _without_nulls(sent.get(name)) == _without_nulls(value) for name, value in meant.items()
    )


def _without_nulls(value: Any) -> Any:
    """Return JSON-like data without fields that are null; some of these LiteLLM leaves out."""
    if isinstance(value, Mapping):
        return {name: _without_nulls(each) for name, each in value.items() if each is not None}
    if isinstance(value, (list, tuple)):
        return [_without_nulls(each) for each in value]
    return value


def _is_lone_text(messages: Sequence[Message]) -> bool:
    return (
        len(messages) == 1
        and messages[0]["role"] == "user"
        and isinstance(messages[0].get("content"), str)
    )
