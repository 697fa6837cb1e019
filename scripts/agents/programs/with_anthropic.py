"""A chat with the Anthropic SDK: streams, tools by hand, and what people do to a chat."""

from __future__ import annotations

from typing import Any

from anthropic import AsyncAnthropic
from by_hand import ARGUMENTS, DESCRIPTION, NAME, ByHand
from chat_loop import INSTRUCTIONS, LATE_INSTRUCTION, Place, lead, read_file

READ_FILE = {"name": NAME, "description": DESCRIPTION, "input_schema": ARGUMENTS}


class Messages(ByHand):
    """A chat over /v1/messages."""

    endpoint = "messages"

    def __init__(self, place: Place) -> None:
        super().__init__()
        self._client = AsyncAnthropic(base_url=place.url, api_key=place.key)
        self._model = place.model

    async def late_instruction(self, text: str) -> str:
        """Send a system message amid the chat, as Claude Code does."""
        self.said.append({"role": "user", "content": text})
        self.said.append({"role": "system", "content": LATE_INSTRUCTION})
        return await self.answer()

    async def answer(self) -> str:
        """Return the answer to what was said last, having run all tools."""
        while True:
            async with self._ask() as stream:
                message = await stream.get_final_message()
            blocks = [
                block.model_dump(include={"type", "text", "id", "name", "input"})
                for block in message.content
            ]
            self.said.append({"role": "assistant", "content": blocks})
            calls = [block for block in message.content if block.type == "tool_use"]
            if not calls:
                return "".join(block.text for block in message.content if block.type == "text")
            results = [
                {"type": "tool_result", "tool_use_id": call.id, "content": read_file(**call.input)}
                for call in calls
            ]
            self.said.append({"role": "user", "content": results})

    async def beginning(self) -> str:
        """Return the first words of an answer, and leave."""
        async with self._ask() as stream:
            async for words in stream.text_stream:
                return words
        return ""

    def _ask(self) -> Any:
        return self._client.messages.stream(
            model=self._model,
            max_tokens=1000,
            system=INSTRUCTIONS,
            messages=self.said,
            tools=[READ_FILE],
        )


if __name__ == "__main__":
    lead(Messages)
