"""An agent tried on a template, with the guard and without, and what became of every request."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from litellm_role_guard.messages.inert_mark import INERT_MARK

from .judged import Judgement, counted, judge
from .meaning import meant, roles
from .place import Place
from .recorder import Recorder
from .story import Agent, Told, in_a_word, only_the_task, tell_the_story
from .trap import Trap
from .world import World

NewAgent = Callable[[Place], Agent]
"""Begins a chat with an agent."""


class Client(NamedTuple):
    """An agent on one endpoint.

    Attributes:
        name: Its name in scripts/agents/versions.txt.
        title: Its name for people.
        endpoint: "chat", "messages" or "responses".
        new: Begins a chat with it.
        breaks_on: The models on which it does not do its task without the guard.
    """

    name: str
    title: str
    endpoint: str
    new: NewAgent
    breaks_on: frozenset[str]

    def __str__(self) -> str:
        return f"{self.name}-{self.endpoint}"


@dataclass(frozen=True)
class Trial:
    """What became of an agent on a template.

    Attributes:
        client: The agent.
        model: The model.
        told: The whole chat, with the guard.
        bare: Its task alone, without it.
        guarded: What becomes of each request of the whole chat with the guard.
        unguarded: The same without.
        handed_over: The same without, in the form in which LiteLLM hands requests to the guard.
        left: What the agent asked of other machines.
    """

    client: Client
    model: str
    told: Told
    bare: Told
    guarded: list[Judgement]
    unguarded: list[Judgement]
    handed_over: list[Judgement]
    left: list[str]

    @property
    def touched(self) -> list[int]:
        """The requests that were fine as the guard got them, and did not go on as it got them.

        What a client writes in the guard's own labels, as OpenCode does in the text that it has
        summed up, goes on with its labels inert, wherever the template may come to need some.
        """
        pairs = zip(self.guarded, self.handed_over, strict=True)
        return [
            at
            for at, (guarded, handed_over) in enumerate(pairs)
            if handed_over.outcome == "fine"
            and (guarded.sent != handed_over.sent or guarded.changes)
            and not _has_inert_labels(guarded, handed_over)
        ]

    @property
    def sends(self) -> str:
        """The roles of its longest request."""
        return max((roles(meant(each)) for each in self.told.exchanges), key=len, default="")

    def cell(self) -> str:
        """Return what became of it, for a table."""
        repaired = sum(each.changes is not None for each in self.guarded)
        without = f"{in_a_word(self.bare)}; {counted(self.unguarded)}"
        return f"{without} → {in_a_word(self.told)}; {counted(self.guarded)}, {repaired} repaired"


def _has_inert_labels(guarded: Judgement, handed_over: Judgement) -> bool:
    """Return whether a request went on as it was, but for marks in what looked like labels."""
    if not re.fullmatch(r"labels=\d+", guarded.changes or ""):
        return False
    sent = json.dumps(guarded.sent, ensure_ascii=False).replace(INERT_MARK, "")
    return sent == json.dumps(handed_over.sent, ensure_ascii=False)


def try_agent(client: Client, model: str, world: World, folder: Path, trap: Trap) -> Trial:
    """Have an agent's whole chat with the guard, and its task done without.

    Args:
        client: The agent.
        model: The model that answers it.
        world: The backends and proxies.
        folder: Where the agent's homes are put.
        trap: Where its requests to other machines end.
    """
    backend = world.backends[model]
    place = Place(world.guarded.url, model, folder / "guarded", trap.environment())
    with closing(client.new(place)) as agent:
        told = tell_the_story(agent, backend, world.guarded)
    place = place._replace(url=world.bare.url, folder=folder / "bare")
    with closing(client.new(place)) as agent:
        bare = only_the_task(agent, backend, world.bare)

    def judged(proxy: Recorder) -> list[Judgement]:
        return [judge(proxy.target, backend, backend.template, each) for each in told.exchanges]

    guarded, unguarded = judged(world.guarded), judged(world.bare)
    # Only of /v1/messages LiteLLM makes something else where it is told to keep system messages.
    handed_over = judged(world.keeping) if client.endpoint == "messages" else unguarded
    return Trial(client, model, told, bare, guarded, unguarded, handed_over, trap.take())
