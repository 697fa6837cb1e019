"""A chat with AutoGen: a swarm of two agents, tools, and a hand-over between them."""

from __future__ import annotations

import asyncio

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.conditions import TextMessageTermination
from autogen_agentchat.teams import Swarm
from autogen_core import CancellationToken
from autogen_ext.models.openai import OpenAIChatCompletionClient
from chat_loop import CHECKER_INSTRUCTIONS, INSTRUCTIONS, Place, lead, read_file

_CAN = {
    "family": "unknown",
    "function_calling": True,
    "json_output": False,
    "structured_output": False,
    "vision": False,
}


class Team:
    """A chat over /v1/chat/completions."""

    endpoint = "chat"

    def __init__(self, place: Place) -> None:
        client = OpenAIChatCompletionClient(
            model=place.model, base_url=f"{place.url}/v1", api_key=place.key, model_info=_CAN
        )
        reader = AssistantAgent(
            "reader",
            client,
            tools=[read_file],
            handoffs=["checker"],
            system_message=INSTRUCTIONS,
            max_tool_iterations=20,
        )
        checker = AssistantAgent("checker", client, system_message=CHECKER_INSTRUCTIONS)
        self._agents = [reader, checker]
        self._team = self._new_team()

    async def ask(self, text: str) -> str:
        """Say something and return the answer."""
        token = CancellationToken()
        running = asyncio.ensure_future(self._team.run(task=text, cancellation_token=token))
        try:
            done = await asyncio.shield(running)
        except asyncio.CancelledError:
            token.cancel()  # the team ends its own tasks by this alone
            await asyncio.wait([running])
            self._team = self._new_team()  # one that was stopped waits for its agent for ever
            raise
        return str(done.messages[-1].content)

    hand_over = ask  # it is the model that hands over

    def _new_team(self) -> Swarm:
        ends = TextMessageTermination("reader") | TextMessageTermination("checker")
        return Swarm(self._agents, termination_condition=ends)


if __name__ == "__main__":
    lead(Team)
