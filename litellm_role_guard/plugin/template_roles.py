"""Which further roles a deployment's template takes, asked when a client first sends them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

from ..backend.backend import Backend
from ..backend.errors import BackendRefused, LearningFailed
from ..backend.prompts import prompt_of
from ..backend.tasks import gather_or_cancel
from ..messages.message import Message
from ..probing.local import rendered
from ..probing.probe import Probe, Rendering
from ..probing.role_place import RolePlace, places_of
from ..template.chat_template import ChatTemplate
from ..template.errors import TemplateRefused

MAX_ROLES = 4
"""How many role names of one request are asked for. Clients make names up, and templates know few
that are not OpenAI's."""


MAX_PLACES = 8
"""How many places of one request are asked for: each takes two renderings."""


MAX_ANSWERS = 256
"""How many answers are remembered, of either kind."""


MAX_PROMPT_CHARACTERS = 2**18
"""How long the prompt of a few words may be. Of 77 real templates none makes 7,000 characters."""


BURST, SECONDS_EACH = 16, 2.0
"""So many questions may be put at once, and then one for each of so many seconds."""


class TemplateRoles:
    """Which further roles a template takes, and where.

    Args:
        template: The template, where the config names it.
        clock: Returns the time in seconds, which never goes back.
    """

    def __init__(
        self, template: ChatTemplate | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._template = template
        self._clock = clock
        # Apart, so that names which a client makes up never push out what a template knows.
        self._taken: OrderedDict[RolePlace, None] = OrderedDict()
        self._refused: OrderedDict[RolePlace, None] = OrderedDict()
        self._questions = float(BURST)
        self._counted_at = clock()

    async def taken(
        self,
        messages: Sequence[Message],
        roles: Sequence[str],
        backend: Callable[[], Backend | None] | None,
        wait: float,
    ) -> frozenset[str]:
        """Return which of these roles the template knows, wherever they stand in a conversation.

        Args:
            messages: The conversation, malformed or not.
            roles: The names of the roles, as in `askable_roles`.
            backend: Returns how the backend is asked; None where it is not to be asked.
            wait: For how many seconds it may be asked.
        """
        places = list(dict.fromkeys(places_of(messages, roles)))
        if not places or len(places) > MAX_PLACES:
            return frozenset()
        unknown = [each for each in places if each not in self._taken and each not in self._refused]
        if unknown and self._may_ask(len(unknown)):
            await self._ask(unknown, backend, wait)
        for place in places:
            if place in self._taken:
                self._taken.move_to_end(place)
        return frozenset(roles) - {each.role for each in places if each not in self._taken}

    def forget(self) -> None:
        """Forget all answers: they are another template's."""
        self._taken.clear()
        self._refused.clear()

    def _may_ask(self, questions: int) -> bool:
        now = self._clock()
        since, self._counted_at = now - self._counted_at, now
        self._questions = min(float(BURST), self._questions + since / SECONDS_EACH)
        if self._questions < questions:
            return False
        self._questions -= questions
        return True

    async def _ask(
        self,
        places: Iterable[RolePlace],
        backend: Callable[[], Backend | None] | None,
        wait: float,
    ) -> None:
        if self._template is not None:
            for place in places:
                self._answered(place, [_rendered(self._template, m) for m in place.conversations()])
        elif backend is not None and (whom := backend()) is not None:
            with contextlib.suppress(asyncio.TimeoutError, LearningFailed):
                await asyncio.wait_for(self._ask_live(places, whom), wait)

    async def _ask_live(self, places: Iterable[RolePlace], backend: Backend) -> None:
        async with backend.reusing_connections() as connected:
            for place in places:
                prompts = (_prompt(connected, each) for each in place.conversations())
                self._answered(place, await gather_or_cancel(prompts))

    def _answered(self, place: RolePlace, renderings: Sequence[Rendering]) -> None:
        answers = self._taken if place.is_known(*renderings) else self._refused
        answers[place] = None
        if len(answers) > MAX_ANSWERS:
            answers.popitem(last=False)


def _rendered(template: ChatTemplate, messages: list[Message]) -> Rendering:
    try:
        return rendered(template, Probe(messages, [], tools=False))
    except TemplateRefused:
        return None


async def _prompt(backend: Backend, messages: list[Message]) -> Rendering:
    try:
        prompt = await prompt_of(backend, messages)
    except BackendRefused:
        return None
    if len(prompt) > MAX_PROMPT_CHARACTERS:
        raise LearningFailed(f"{backend.name}: makes a prompt without end of a few words")
    return prompt
