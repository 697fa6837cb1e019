"""A chat with the OpenAI Agents SDK: a session, tools, and a hand-over to another agent."""

from __future__ import annotations

from agents import (
    Agent,
    OpenAIProvider,
    RunConfig,
    Runner,
    SQLiteSession,
    function_tool,
)
from chat_loop import CHECKER_INSTRUCTIONS, INSTRUCTIONS, Place, lead, read_file


class _Chat:
    endpoint: str

    def __init__(self, place: Place) -> None:
        provider = OpenAIProvider(
            base_url=f"{place.url}/v1",
            api_key=place.key,
            use_responses=place.endpoint == "responses",
        )
        self._config = RunConfig(model=place.model, model_provider=provider, tracing_disabled=True)
        checker = Agent(name="checker", instructions=CHECKER_INSTRUCTIONS)
        self._agent = Agent(
            name="reader",
            instructions=INSTRUCTIONS,
            tools=[function_tool(read_file)],
            handoffs=[checker],
        )
        self._session = SQLiteSession("chat")

    async def ask(self, text: str) -> str:
        """Say something to the agent that was active last, and return the answer."""
        done = await Runner.run(self._agent, text, session=self._session, run_config=self._config)
        self._agent = done.last_agent
        return str(done.final_output)

    hand_over = ask  # it is the model that hands over


class Completions(_Chat):
    """A chat over /v1/chat/completions."""

    endpoint = "chat"


class Responses(_Chat):
    """A chat over /v1/responses."""

    endpoint = "responses"


if __name__ == "__main__":
    lead(Completions, Responses)
