"""A chat whose messages the program keeps by itself, as with an SDK, and what people do to one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from chat_loop import TO_BE_CUT

NAME = "read_file"
DESCRIPTION = "Return the text of a file."
ARGUMENTS = {
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
}
"""The tool, as JSON schema; each API has fields of its own for these."""


class ByHand(ABC):
    """A chat as a list of messages or items.

    Attributes:
        said: What was said so far, the instructions aside.
    """

    def __init__(self) -> None:
        self.said: list[Any] = []

    @abstractmethod
    async def answer(self) -> str:
        """Return the answer to what was said last, having run all tools."""

    @abstractmethod
    async def beginning(self) -> str:
        """Return the first words of an answer, and leave."""

    async def ask(self, text: str) -> str:
        """Say something and return the answer."""
        self.said.append({"role": "user", "content": text})
        return await self.answer()

    async def half_reply(self, text: str) -> str:
        """Break off the answer to another question, keep what was read of it, and go on."""
        self.said.append({"role": "user", "content": TO_BE_CUT})
        self.said.append({"role": "assistant", "content": await self.beginning()})
        return await self.ask(text)

    async def regenerate(self, text: str) -> str:
        """Ask for another answer in the place of the first."""
        self.said.append({"role": "user", "content": text})
        before = len(self.said)
        await self.answer()
        del self.said[before:]
        return await self.answer()
