"""An agent whose program answers one question and ends; the next run resumes the chat."""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from subprocess import Popen

from litellm_role_guard.simulator.scripted import Call

from .program import Finished, Program, finish
from .steps import COMPACTION, Step


class OneShot(ABC):
    """A chat with such an agent, which can sum up its chat.

    Args:
        program: Its program.
    """

    further: Sequence[Step] = (COMPACTION,)
    hand_over: Call | None = None

    def __init__(self, program: Program) -> None:
        self.work = program.work
        self._program = program
        self._has_begun = False

    @abstractmethod
    def read_file(self, name: str) -> Call:
        """Return the call of its tool that shows a file."""

    @abstractmethod
    def do(self, step: Step) -> Finished:
        """Have the chat summed up, and say something then."""

    @abstractmethod
    def arguments(self, text: str, *, resumes: bool) -> Sequence[str]:
        """Return the arguments with which it is asked something, in a new chat or in its last."""

    def ask(self, text: str, *options: str) -> Finished:
        """Say something and wait for the answer."""
        return finish(self._start(text, *options))

    def ask_and_stop(self, text: str, wait: Callable[[], None]) -> None:
        """Say something, and press Ctrl-C once the model was asked."""
        process = self._start(text)
        wait()
        finish(process, signal.SIGINT)

    def close(self) -> None:  # noqa: B027  # some need not
        """Do nothing: it runs only while it is asked."""

    def _start(self, text: str, *options: str) -> Popen[str]:
        arguments = self.arguments(text, resumes=self._has_begun)
        self._has_begun = True
        return self._program.start(*options, *arguments)
