"""A chat with the OpenAI SDK: streams, tools by hand, and what people do to a chat in between."""

from __future__ import annotations

import json
from typing import Any

from by_hand import ARGUMENTS, DESCRIPTION, NAME, ByHand
from chat_loop import INSTRUCTIONS, LATE_INSTRUCTION, Place, lead, read_file
from openai import AsyncOpenAI
from openai.lib.streaming.chat import ChatCompletionStreamState

READ_FILE = {"name": NAME, "description": DESCRIPTION, "parameters": ARGUMENTS}


class _Chat(ByHand):
    def __init__(self, place: Place) -> None:
        super().__init__()
        self.client = AsyncOpenAI(base_url=f"{place.url}/v1", api_key=place.key)
        self.model = place.model

    async def late_instruction(self, text: str) -> str:
        """Have the developer say something amid the chat."""
        self.said.append({"role": "developer", "content": LATE_INSTRUCTION})
        return await self.ask(text)


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
