"""A chat with the Anthropic SDK: streams, tools by hand, and what people do to a chat."""

from __future__ import annotations

from typing import Any

from anthropic import AsyncAnthropic
from chat_loop import INSTRUCTIONS, LATE_INSTRUCTION, TO_BE_CUT, Place, lead, read_file

READ_FILE = {
    "name": "read_file",
    "description": "Return the text of a file.",
    "input_schema": {
        "type": "object",
        "properties": {"name": {"type": "string"}},
        "required": ["name"],
    },
}


class Messages:
    """A chat over /v1/messages."""

    endpoint = "messages"

    def __init__(self, place: Place) -> None:
        self._client = AsyncAnthropic(base_url=place.url, api_key=place.key)
        self._model = place.model
        self._said: list[Any] = []

    async def ask(self, text: str) -> str:
        """Say something and return the answer."""
        self._said.append({"role": "user", "content": text})
        return await self._answer()

    async def half_reply(self, text: str) -> str:
        """Break off the answer to another question, keep what was read of it, and go on."""
        self._said.append({"role": "user", "content": TO_BE_CUT})
        async with self._ask() as stream:
            async for words in stream.text_stream:
                self._said.append({"role": "assistant", "content": words})
                break
        return await self.ask(text)

    async def regenerate(self, text: str) -> str:
        """Ask for another answer in the place of the first."""
        self._said.append({"role": "user", "content": text})
        before = len(self._said)
        await self._answer()
        del self._said[before:]
        return await self._answer()

    async def late_instruction(self, text: str) -> str:
        """Send a system message amid the chat, as Claude Code does."""
        self._said.append({"role": "user", "content": text})
        self._said.append({"role": "system", "content": LATE_INSTRUCTION})
        return await self._answer()

    async def _answer(self) -> str:
        while True:
            async with self._ask() as stream:
                message = await stream.get_final_message()
            blocks = [
                block.model_dump(include={"type", "text", "id", "name", "input"})
                for block in message.content
            ]
            self._said.append({"role": "assistant", "content": blocks})
            calls = [block for block in message.content if block.type == "tool_use"]
            if not calls:
                return "".join(block.text for block in message.content if block.type == "text")
            results = [
                {"type": "tool_result", "tool_use_id": call.id, "content": read_file(**call.input)}
                for call in calls
            ]
            self._said.append({"role": "user", "content": results})

    def _ask(self) -> Any:
        return self._client.messages.stream(
            model=self._model,
            max_tokens=1000,
            system=INSTRUCTIONS,
            messages=self._said,
            tools=[READ_FILE],
        )


if __name__ == "__main__":
    lead(Messages)
