"""Asking several variants of each question, a batch at a time."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..profile.rules import Answer
from .probe import Probe, Rendering, judge, rank
from .probe_builder import ProbeBuilder


@dataclass
class Asker:
    """Puts talks to the oracle, all of one batch at once."""

    tools: bool

    def __call__(
        self, talks: Mapping[Any, Sequence[ProbeBuilder]], *field: str
    ) -> Generator[list[Probe], list[Rendering], dict[Any, Answer]]:
        """Judge each key by the best of its talks; a later one is tried where none was read yet.

        Args:
            talks: Ways to ask, by a key.
            field: The field of the rules to which the keys belong, unless they name it themselves.
        """
        answers: dict[Any, Answer] = {}
        for attempt in range(max(map(len, talks.values()), default=0)):
            batch = [
                (key, variants[attempt].probe(self.tools, (*field, *keys)))
                for key, variants in talks.items()
                for keys in [key if isinstance(key, tuple) else (key,)]
                if attempt < len(variants) and answers.get(key) != "accepted"
            ]
            if not batch:
                break
            renderings = yield [probe for _, probe in batch]
            for (key, probe), rendering in zip(batch, renderings, strict=True):
                answer = judge(rendering, probe.marks, probe.unordered_marks)
                if rank(answer) > rank(answers.get(key)):
                    answers[key] = answer
        return answers
