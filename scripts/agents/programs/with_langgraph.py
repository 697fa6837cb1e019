"""A chat with LangGraph: checkpoints, tools, and a hand-over to another agent of the graph."""

from __future__ import annotations

from chat_loop import CHECKER_INSTRUCTIONS, INSTRUCTIONS, Place, lead, read_file
from langchain.agents import create_agent
from langchain.messages import AIMessage, ToolMessage
from langchain.tools import ToolRuntime, tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command

_THREAD = {"configurable": {"thread_id": "chat"}}


@tool
def transfer_to_checker(runtime: ToolRuntime) -> Command:
    """Hand the chat over to the checker."""
    messages = runtime.state["messages"]
    call = next(each for each in reversed(messages) if isinstance(each, AIMessage))
    result = ToolMessage("The checker goes on.", tool_call_id=runtime.tool_call_id)
    return Command(goto="checker", graph=Command.PARENT, update={"messages": [call, result]})


class Graph:
    """A chat over /v1/chat/completions."""

    endpoint = "chat"

    def __init__(self, place: Place) -> None:
        model = ChatOpenAI(model=place.model, base_url=f"{place.url}/v1", api_key=place.key)
        reader = create_agent(
            model, [tool(read_file), transfer_to_checker], system_prompt=INSTRUCTIONS, name="reader"
        )
        checker = create_agent(model, [], system_prompt=CHECKER_INSTRUCTIONS, name="checker")
        graph = StateGraph(MessagesState)
        graph.add_node("reader", reader)
        graph.add_node("checker", checker)
        graph.add_edge(START, "reader")
        self._graph = graph.compile(checkpointer=InMemorySaver())

    async def ask(self, text: str) -> str:
        """Say something and return the answer."""
        said = {"messages": [{"role": "user", "content": text}]}
        state = await self._graph.ainvoke(said, _THREAD)
        return str(state["messages"][-1].text)

    hand_over = ask  # it is the model that hands over


if __name__ == "__main__":
    lead(Graph)
