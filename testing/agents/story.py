"""A whole chat with an agent: a task, a question that is stopped, a resumed chat, and more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from litellm_role_guard.simulator.scripted import Call

from .program import Finished
from .recorder import Exchange, Recorder
from .steps import Step
from .task import GAVE_UP, QUESTION, ScriptedModel, is_done, write_files
from .world import ScriptedBackend

STOPPED = "How many letters has the first of them? Count with care."
RESUMED = "Never mind that. Which words were there?"


class Agent(Protocol):
    """A chat with an agent that reads files in its working folder."""

    endpoint: str
    work: Path
    further: Sequence[Step]
    hand_over: Call | None

    def read_file(self, name: str) -> Call:
        """Return the call of its tool that shows a file."""

    def ask(self, text: str) -> Finished:
        """Say something and wait for the answer."""

    def ask_and_stop(self, text: str, wait: Callable[[], None]) -> None:
        """Say something, wait, and stop it then."""

    def do(self, step: Step) -> Finished:
        """Do one of its further steps, and wait for the answer."""

    def close(self) -> None:
        """End what runs on."""


@dataclass(frozen=True)
class Told:
    """A chat that was had.

    Attributes:
        undone: The first step that did not end with the answer, and what the client showed; ""
            where all did.
        exchanges: What the client asked, the oldest first.
        prompts: The prompts that the backend made of it.
    """

    undone: str
    exchanges: list[Exchange]
    prompts: list[str]


def tell_the_story(agent: Agent, backend: ScriptedBackend, recorder: Recorder) -> Told:
    """Have the whole chat."""
    _begin(agent, backend, recorder)
    steps: list[tuple[str, Finished]] = [("task", agent.ask(QUESTION))]
    backend.fail("hang")
    try:
        agent.ask_and_stop(STOPPED, lambda: backend.wait_for("hang"))
    finally:
        backend.fail(None)
    steps.append(("resume", agent.ask(RESUMED)))
    steps += [(step.name, agent.do(step)) for step in agent.further]
    undone = [f"{step}: {shown}" for step, end in steps if (shown := _undone(end))]
    return Told("".join(undone[:1]), recorder.take(), _prompts(backend))


def only_the_task(agent: Agent, backend: ScriptedBackend, recorder: Recorder) -> Told:
    """Have the task done, and no more."""
    _begin(agent, backend, recorder)
    undone = _undone(agent.ask(QUESTION))
    return Told(undone, recorder.take(), _prompts(backend))


def in_a_word(told: Told) -> str:
    """Return what came of a chat, for a table."""
    if not told.undone:
        return "done"
    if told.exchanges and told.exchanges[-1].status not in (0, 200):
        return f"{told.exchanges[-1].status}"
    return "never sees the files" if GAVE_UP in told.undone else "not done"


def _begin(agent: Agent, backend: ScriptedBackend, recorder: Recorder) -> None:
    write_files(agent.work)
    backend.script = ScriptedModel(agent.read_file, agent.hand_over)
    backend.forget()
    recorder.take()


def _undone(end: Finished) -> str:
    if end.code == 0 and is_done(end.shown):
        return ""
    return f"exit code {end.code}: {end.shown[-1000:]} {end.log[-1000:]}"


def _prompts(backend: ScriptedBackend) -> list[str]:
    return [call["prompt"] for call in backend.calls() if call["status"] == 200]
