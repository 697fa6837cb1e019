"""Whether a conversation is accepted and read right, and what the repair makes of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..backend.backend import Backend
from ..backend.errors import BackendRefused
from ..backend.prompts import prompt_of
from ..messages.message import Message
from ..profile.template_profile import TemplateProfile
from ..repair.chain import Repair
from ..template.chat_template import ChatTemplate
from ..template.errors import TemplateRefused
from ..template.misreading import Misreading, misreadings
from ..template.prompt_reading import MessageReading, read_in
from .conversation import FileConversation

Outcome = Literal["fine", "lost", "wrong", "refused"]
"""`lost`: accepted, but some of it is not in the prompt, or not where it was said. `wrong`: all of
it is, but some would be read as something else than what was said."""


Ask = Callable[[Sequence[Message], FileConversation], Awaitable[str]]
"""Renders messages with the conversation's tools; raises `TemplateRefused`."""


@dataclass(frozen=True)
class Verdict:
    """What becomes of a conversation.

    Attributes:
        refusal: The message of the refusal; None if the conversation is accepted.
        messages: What becomes of each message; empty if the conversation is refused.
        wrong: What of it is read wrong, by the positions of the messages that are rendered.
    """

    refusal: str | None
    messages: tuple[MessageReading, ...] = ()
    wrong: tuple[Misreading, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """The verdict in one word."""
        if self.refusal is not None:
            return "refused"
        if any(each.state != "read" for each in self.messages):
            return "lost"
        return "wrong" if self.wrong else "fine"


@dataclass(frozen=True)
class Checked:
    """A conversation with what becomes of it, as it is and repaired.

    Attributes:
        conversation: The conversation.
        verdict: What becomes of it.
        repair: What the repair makes of it.
        repaired: What then becomes of its messages.
    """

    conversation: FileConversation
    verdict: Verdict
    repair: Repair
    repaired: Verdict

    def as_json(self, *, diff: bool = False) -> dict[str, Any]:
        """Return all of it as data for JSON.

        Args:
            diff: Whether to include the repaired messages.
        """
        line = {} if self.conversation.line is None else {"line": self.conversation.line}
        sent = {"sent": list(self.repair.messages)} if diff else {}
        changes = [change._asdict() for change in self.repair.changes]
        return {
            **line,
            **self._verdict(self.verdict),
            "repair": {"changes": changes, **self._verdict(self.repaired), **sent},
        }

    def _verdict(self, verdict: Verdict) -> dict[str, Any]:
        messages = [
            {"role": message["role"], **each._asdict()}
            for message, each in zip(self.conversation.messages, verdict.messages, strict=False)
        ]
        return {
            "outcome": verdict.outcome,
            "refusal": verdict.refusal,
            "messages": messages,
            "wrong": [each._asdict() for each in verdict.wrong],
        }


def asking_template(template: ChatTemplate) -> Ask:
    """Return a function that renders with a chat template."""

    async def ask(messages: Sequence[Message], conversation: FileConversation) -> str:
        return template.render(
            messages,
            tools=conversation.tools,
            add_generation_prompt=not conversation.prefill,
            continue_final_message=conversation.prefill,
        )

    return ask


def asking_backend(backend: Backend) -> Ask:
    """Return a function that renders with a live vLLM.

    It raises `LearningFailed` if the vLLM cannot be asked.
    """

    async def ask(messages: Sequence[Message], conversation: FileConversation) -> str:
        try:
            return await prompt_of(
                backend, messages, tools=conversation.tools, prefill=conversation.prefill
            )
        except BackendRefused as refusal:
            raise TemplateRefused(str(refusal)) from refusal

    return ask


async def check(conversation: FileConversation, ask: Ask, profile: TemplateProfile) -> Checked:
    """Check a conversation.

    Args:
        conversation: The conversation.
        ask: Renders it.
        profile: What the renderer accepts.
    """
    messages = conversation.messages
    repaired = conversation.repaired(profile)
    before = after = await _verdict(conversation, messages, ask)
    if repaired.changes:
        after = await _verdict(conversation, repaired.messages, ask)
    return Checked(conversation, before, repaired, after)


async def _verdict(conversation: FileConversation, sent: Sequence[Message], ask: Ask) -> Verdict:
    try:
        prompt = await ask(sent, conversation)
    except TemplateRefused as refusal:
        return Verdict(str(refusal))
    read = tuple(read_in(prompt, conversation.messages))
    return Verdict(None, read, await _wrong(conversation, sent, prompt, ask))


async def _wrong(
    conversation: FileConversation, sent: Sequence[Message], prompt: str, ask: Ask
) -> tuple[Misreading, ...]:
    asking = misreadings(sent, prompt)
    try:
        asked = next(asking)
        while True:
            asked = asking.send(await _prompt(asked, conversation, ask))
    except StopIteration as done:
        return tuple(done.value)


async def _prompt(
    messages: Sequence[Message], conversation: FileConversation, ask: Ask
) -> str | None:
    try:
        return await ask(messages, conversation)
    except TemplateRefused:
        return None
