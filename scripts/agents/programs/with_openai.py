"""A chat with the OpenAI SDK: streams, tools by hand, and what people do to a chat in between."""

from __future__ import annotations

import json
from typing import Any

from chat_loop import INSTRUCTIONS, LATE_INSTRUCTION, TO_BE_CUT, Place, lead, read_file
from openai import AsyncOpenAI
from openai.lib.streaming.chat import ChatCompletionStreamState

READ_FILE = {
    "name": "read_file",
    "description": "Return the text of a file.",
    "parameters": {
        "type": "object",
        "properties": {"name": {"type": "string"}},
        "required": ["name"],
    },
}


class _Chat:
    """What both endpoints have in common: a list of messages or items."""

    def __init__(self, place: Place) -> None:
        self.client = AsyncOpenAI(base_url=f"{place.url}/v1", api_key=place.key)
        self.model = place.model
        self.said: list[Any] = []

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

    async def late_instruction(self, text: str) -> str:
        """Have the developer say something amid the chat."""
        self.said.append({"role": "developer", "content": LATE_INSTRUCTION})
        return await self.ask(text)

    async def answer(self) -> str:
        """Return the answer to what was said last, having run all tools."""
        raise NotImplementedError

    async def beginning(self) -> str:
        """Return the first words of an answer, and leave."""
        raise NotImplementedError


class Completions(_Chat):
    """A chat over /v1/chat/completions."""

    endpoint = "chat"

    async def answer(self) -> str:
        """Return the answer to what was said last, having run all tools."""
        while True:
            state = ChatCompletionStreamState()
            async for chunk in await self._ask():
                state.handle_chunk(chunk)
            message = state.get_final_completion().choices[0].message
            calls = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.function.name, "arguments": call.function.arguments},
                }
                for call in message.tool_calls or ()
            ]
            reply = {"role": "assistant", "content": message.content}
            self.said.append({**reply, "tool_calls": calls} if calls else reply)
            if not calls:
                return message.content or ""
            for call in calls:
                text = read_file(**json.loads(call["function"]["arguments"]))
                self.said.append({"role": "tool", "tool_call_id": call["id"], "content": text})

    async def beginning(self) -> str:
        """Return the first words of an answer, and leave."""
        async with await self._ask() as stream:
            async for chunk in stream:
                if chunk.choices and chunk.choices[0].delta.content:
                    return chunk.choices[0].delta.content
        return ""

    async def _ask(self) -> Any:
        return await self.client.chat.completions.create(
            model=self.model,
            messages=[{"role": "system", "content": INSTRUCTIONS}, *self.said],
            tools=[{"type": "function", "function": READ_FILE}],
            stream=True,
        )


class Responses(_Chat):
    """A chat over /v1/responses."""

    endpoint = "responses"

    async def answer(self) -> str:
        """Return the answer to what was said last, having run all tools."""
        while True:
            async with self._ask() as stream:
                response = await stream.get_final_response()
            calls = [item for item in response.output if item.type == "function_call"]
            self.said += [item.to_dict() for item in response.output]
            if not calls:
                return response.output_text
            for call in calls:
                text = read_file(**json.loads(call.arguments))
                result = {"type": "function_call_output", "call_id": call.call_id, "output": text}
                self.said.append(result)

    async def beginning(self) -> str:
        """Return the first words of an answer, and leave."""
        async with self._ask() as stream:
            async for event in stream:
                if event.type == "response.output_text.delta":
                    return event.delta
        return ""

    def _ask(self) -> Any:
        return self.client.responses.stream(
            model=self.model,
            instructions=INSTRUCTIONS,
            input=self.said,
            tools=[{"type": "function", "strict": False, **READ_FILE}],
        )


if __name__ == "__main__":
    lead(Completions, Responses)
