"""Asking several variants of each probe, a batch at a time."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import TypeVar

from ..profile.rules import Answer
from .answers import Answers, Path
from .probe import Probe, Rendering, judge, rank
from .probe_builder import ProbeBuilder

_Result = TypeVar("_Result")

Step = Generator[list[Probe], list[Rendering], _Result]
"""A part of the plan: yields batches of probes, is sent their renderings, returns a result."""

Questions = Mapping[Path, Sequence[ProbeBuilder]]
"""Conversations that may prove the answer at a path, the best first."""


class Asker:
    """Puts questions to the oracle and keeps their answers.

    Args:
        tools: Whether tool definitions go with the probes.

    Attributes:
        answers: The answers so far.
        call_content: What stands beside the tool calls of the probes that have no text.
    """

    def __init__(self, *, tools: bool) -> None:
        self.answers = Answers()
        self.call_content: str | None = None
        self._tools = tools

    def ask(self, questions: Questions) -> Step[None]:
        """Ask, and keep the answers."""
        self.answers.update((yield from self.try_out(questions)))

    def try_out(self, questions: Questions) -> Step[dict[Path, Answer]]:
        """Ask, and return the best answer for each path without keeping it.

        The first conversations of all questions are one batch. The next ones are put only for
        paths that are not yet `accepted`.
        """
        answers: dict[Path, Answer] = {}
        for attempt in range(max(map(len, questions.values()), default=0)):
            batch = [
                (path, self._with_call_content(builders[attempt].probe(self._tools, path)))
                for path, builders in questions.items()
                if attempt < len(builders) and answers.get(path) != "accepted"
            ]
            if not batch:
                break
            renderings = yield [probe for _, probe in batch]
            for (path, probe), rendering in zip(batch, renderings, strict=True):
                answer = judge(rendering, probe.marks, probe.unordered_marks)
                if rank(answer) > rank(answers.get(path)):
                    answers[path] = answer
        return answers

    def render(self, builders: Sequence[ProbeBuilder], path: Path = ()) -> Step[list[Rendering]]:
        """Have conversations rendered, and return the prompts.

        Args:
            builders: The conversations.
            path: The place in the profile that they help to decide.
        """
        batch = [self._with_call_content(each.probe(self._tools, path)) for each in builders]
        return (yield batch)

    def _with_call_content(self, probe: Probe) -> Probe:
        if self.call_content is None:
            return probe
        messages = [
            {**message, "content": self.call_content}
            if message.get("tool_calls") and message["content"] is None
            else message
            for message in probe.messages
        ]
        return probe._replace(messages=messages)
