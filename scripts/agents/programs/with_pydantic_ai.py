"""A chat with pydantic-ai: a kept history, tools, a hand-over by the program."""

from __future__ import annotations

from chat_loop import CHECKER_INSTRUCTIONS, INSTRUCTIONS, Place, lead, read_file
from pydantic_ai import Agent, capture_run_messages
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider


class Chat:
    """A chat over /v1/chat/completions."""

    endpoint = "chat"

    def __init__(self, place: Place) -> None:
        provider = OpenAIProvider(base_url=f"{place.url}/v1", api_key=place.key)
        model = OpenAIChatModel(place.model, provider=provider)
        self._reader = Agent(model, system_prompt=INSTRUCTIONS, tools=[read_file])
        self._checker = Agent(model, instructions=CHECKER_INSTRUCTIONS)
        self._history: list[ModelMessage] = []

    async def ask(self, text: str) -> str:
        """Say something to the reader and return the answer."""
        return await self._ask(self._reader, text)

    async def hand_over(self, text: str) -> str:
        """Say something to the checker, who gets to see the whole chat."""
        return await self._ask(self._checker, text)

    async def _ask(self, agent: Agent, text: str) -> str:
        with capture_run_messages() as messages:
            try:
                done = await agent.run(text, message_history=self._history)
            finally:
                self._history = list(messages)  # of a run that was stopped, too
        return done.output


if __name__ == "__main__":
    lead(Chat)
