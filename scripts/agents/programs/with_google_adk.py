"""A chat with Google's ADK, which speaks through LiteLLM's client: tools, and a transfer."""

from __future__ import annotations

from chat_loop import CHECKER_INSTRUCTIONS, INSTRUCTIONS, Place, lead, read_file
from google.adk.agents import LlmAgent
from google.adk.models.lite_llm import LiteLlm
from google.adk.runners import InMemoryRunner
from google.genai.types import Content, Part

_WHO = {"user_id": "user", "session_id": "chat"}


class Chat:
    """A chat over /v1/chat/completions."""

    endpoint = "chat"

    def __init__(self, place: Place) -> None:
        model = LiteLlm(f"openai/{place.model}", api_base=f"{place.url}/v1", api_key=place.key)
        checker = LlmAgent(
            name="checker",
            description="Checks what the reader has said.",
            model=model,
            instruction=CHECKER_INSTRUCTIONS,
            disallow_transfer_to_parent=True,
        )
        reader = LlmAgent(
            name="reader",
            model=model,
            instruction=INSTRUCTIONS,
            tools=[read_file],
            sub_agents=[checker],
        )
        self._runner = InMemoryRunner(reader, app_name="chat")
        self._is_open = False

    async def ask(self, text: str) -> str:
        """Say something and return the answer."""
        if not self._is_open:
            await self._runner.session_service.create_session(app_name="chat", **_WHO)
            self._is_open = True
        said = Content(role="user", parts=[Part(text=text)])
        shown = ""
        async for event in self._runner.run_async(**_WHO, new_message=said):
            if event.error_message:
                raise RuntimeError(event.error_message)
            if event.is_final_response() and event.content:
                shown = "".join(part.text or "" for part in event.content.parts or ())
        return shown

    hand_over = ask  # it is the model that hands over


if __name__ == "__main__":
    lead(Chat)
