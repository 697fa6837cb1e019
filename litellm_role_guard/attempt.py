"""One request on its way to one deployment: repaired before it is sent, and after a refusal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from .conversation import Message
from .deployments import Deployment
from .refusals import Refusal, teach
from .repair import Change, repair
from .report import Counts, Report


class Conversation(Protocol):
    """A request read as messages, in the order and with the roles that the backend will see.

    Attributes:
        changes: What has to change whatever the template is.
        prefill: Whether the last message is the opening of the reply.
    """

    changes: tuple[Change, ...]
    prefill: bool

    @property
    def messages(self) -> Sequence[Message]:
        """Give the messages as the client meant them."""

    def place(self, message: int) -> str:
        """Name the place in the request where a message comes from."""

    def arguments(self, messages: Sequence[Message]) -> dict[str, Any]:
        """Give LiteLLM's arguments for these messages."""

    def body(self, messages: Sequence[Message]) -> dict[str, Any]:
        """Give the fields of the request body for these messages."""


class ChatConversation:
    """The `messages` of a chat completion.

    Args:
        messages: The client's messages.
        prefill: Whether the last one is the opening of the reply.
        developer_is_system: Whether LiteLLM sends developer messages as system messages.
        as_sent: What LiteLLM makes of messages before it sends them.
    """

    changes: tuple[Change, ...] = ()

    def __init__(
        self,
        messages: Sequence[Message],
        *,
        prefill: bool,
        developer_is_system: bool,
        as_sent: Callable[[list[Any]], list[Any]],
    ) -> None:
        self.messages = messages
        if developer_is_system and any(m["role"] == "developer" for m in messages):
            self.messages = [
                {**message, "role": "system"} if message["role"] == "developer" else message
                for message in messages
            ]
        self.prefill = prefill
        self._as_sent = as_sent

    def place(self, message: int) -> str:
        """Name the place in the request where a message comes from."""
        return f"messages[{message}]"

    def arguments(self, messages: Sequence[Message]) -> dict[str, Any]:
        """Give the argument `messages`, as copies: LiteLLM writes into what it is given."""
        return {"messages": copied(messages)}

    def body(self, messages: Sequence[Message]) -> dict[str, Any]:
        """Give the body's `messages`, as LiteLLM would have sent them."""
        return {"messages": self._as_sent(copied(messages))}


class Attempt:
    """One request on its way to one deployment.

    Args:
        conversation: The request as the client meant it.
        deployment: Who is to answer.
        tools: The request's tool definitions.
        report: Where to write down what is done.
        counts: Where to count it.
    """

    def __init__(
        self,
        conversation: Conversation,
        deployment: Deployment,
        *,
        tools: Sequence[Mapping[str, Any]] | None,
        report: Report,
        counts: Counts,
    ) -> None:
        self._conversation = conversation
        self._deployment = deployment
        self._tools = tools
        self._report = report
        self._counts = counts
        self._base = self._profile = deployment.profile
        self._sent: Sequence[Message] = conversation.messages

    def arguments(self) -> dict[str, Any] | None:
        """Repair the request; give LiteLLM's arguments that change, or None where none do."""
        self._repair()
        return self._conversation.arguments(self._sent) if self._report.changes else None

    def after_refusal(self, refusal: Refusal) -> Mapping[str, Any] | None:
        """Repair the client's own messages again, with what a refusal teaches.

        The lessons stay with this attempt until it is answered: a conversation that the backend
        refuses for reasons of its own must not change how all others are repaired.

        Args:
            refusal: Why the backend refused what was sent last.

        Returns:
            The fields of the body to send instead, or None where the same would be sent again.
        """
        if not self._repaired_with_later_lessons() and not self._repaired_with(refusal):
            return None
        self._report.retried += 1
        self._counts.add("retried")
        return self._conversation.body(self._sent)

    def finished(self, *, answered: bool) -> None:
        """Keep the lessons if they helped, and write the log line.

        Args:
            answered: Whether the backend took what was sent last.
        """
        if answered:
            self._deployment.keep(self._base, self._profile)
        self._report.log()

    def failed(self) -> None:
        """Count an error of the guard's own."""
        self._counts.add("failed")

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
        """Repair the client's own messages; tell whether that gives anything new to send."""
        sent, conversation = self._sent, self._conversation
        repaired = repair(
            conversation.messages,
            self._profile,
            tools=self._tools,
            separator=self._deployment.settings.separator,
            placeholder=self._deployment.settings.placeholder,
            prefill=conversation.prefill,
        )
        self._sent = repaired.messages
        self._report.changes = (*conversation.changes, *repaired.changes)
        return bool(self._sent != sent)


def copied(value: Any) -> Any:
    """Give a copy of JSON-like data that shares no dict and no list with it."""
    if isinstance(value, Mapping):
        return {key: copied(field) for key, field in value.items()}
    if isinstance(value, (list, tuple)):
        return [copied(entry) for entry in value]
    return value
