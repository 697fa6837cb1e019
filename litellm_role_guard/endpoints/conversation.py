"""A request read as messages, whatever its endpoint."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Protocol

from ..messages.message import Message
from ..repair.change import Change


class RequestConversation(Protocol):
    """A request read as messages, in the order and with the roles that the backend will see.

    Attributes:
        changes: What has to change whatever the template is.
        prefill: Whether the last message is the opening of the reply.
    """

    changes: tuple[Change, ...]
    prefill: bool

    @property
    def labelled(self) -> Collection[int]:
        """Return the positions of messages whose text begins with a label that tells what it is."""

    @property
    def messages(self) -> Sequence[Message]:
        """Return the messages as the client meant them."""

    def location(self, message: int) -> str:
        """Name the place in the request where a message comes from."""

    def arguments(self, messages: Sequence[Message]) -> dict[str, Any]:
        """Return LiteLLM's arguments for these messages."""

    def body(self, messages: Sequence[Message]) -> dict[str, Any]:
        """Return the fields of the request body for these messages."""

    def read_back(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Return the messages that the backend makes of what is sent for these."""
