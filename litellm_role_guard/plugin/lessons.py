"""What refusals have taught about one backend, and for whom it holds.

A lesson that got a conversation answered holds for that conversation. It holds for all once two
different conversations have proven it: whatever is odd about one of them is not the template's.
Nothing of what was said is kept, only its hash.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from ..messages.message import Message, content_parts, part_text
from ..profile.refusals import Lesson

MAX_CONVERSATIONS = 512
"""How many conversations' lessons are remembered, those used last."""


class ConversationId(NamedTuple):
    """What tells a conversation from others, from its first turn to its last.

    Attributes:
        owner: Whose it is. A lesson of one client's does not hold for the same words of another's.
        beginning: The hash of how it begins. Conversations that begin alike count as one proof,
            whoever has them.
    """

    owner: tuple[str, ...]
    beginning: bytes


def conversation_id(messages: Sequence[Message], owner: tuple[str, ...]) -> ConversationId:
    """Return the id of a conversation: its messages up to the first turn tell it from others.

    Args:
        messages: The messages as the client meant them.
        owner: Whose they are.
    """
    told = hashlib.blake2b(digest_size=16)
    for message in messages:
        role = message["role"]
        told.update(f"\n{role}:".encode())
        for part in content_parts(message):
            text = part_text(part)
            # Another space or line break makes no other conversation.
            words = repr(part).split() if text is None else text.split()
            told.update(" ".join(words).encode(errors="surrogatepass"))
        if role not in ("system", "developer"):
            break
    return ConversationId(owner, told.digest())


class _Remembered(NamedTuple):
    lessons: tuple[Lesson, ...]
    is_tried: bool = False
    may_prove: bool = False


class Lessons:
    """The lessons of one backend's refusals, beyond what it says when it is asked."""

    def __init__(self) -> None:
        self._remembered: OrderedDict[ConversationId, _Remembered] = OrderedDict()
        self._proven_by: dict[Lesson, bytes] = {}

    @property
    def are_remembered(self) -> bool:
        """Whether any conversation has lessons of its own."""
        return bool(self._remembered)

    def of(self, conversation: ConversationId) -> tuple[Lesson, ...]:
        """Return the lessons that hold for a conversation, or that it is to try."""
        remembered = self._remembered.get(conversation)
        if remembered is None:
            return ()
        self._remembered.move_to_end(conversation)
        return remembered.lessons

    def suggest(
        self, conversation: ConversationId, lessons: tuple[Lesson, ...], *, may_prove: bool
    ) -> None:
        """Have a conversation try lessons at its next attempt; none have it try nothing any more.

        Args:
            conversation: The conversation that was refused.
            lessons: What its next attempt is to be repaired with.
            may_prove: Whether they may hold for all once two such attempts were answered.
        """
        if lessons:
            self._remember(conversation, _Remembered(lessons, True, may_prove))
        else:
            self._remembered.pop(conversation, None)

    def answered(self, conversation: ConversationId, lessons: tuple[Lesson, ...]) -> list[Lesson]:
        """Keep lessons that a conversation was to try; return those that hold for all by now.

        Args:
            conversation: A conversation that was answered.
            lessons: What it was repaired with.
        """
        remembered = self._remembered.get(conversation)
        if remembered is None or not remembered.is_tried or remembered.lessons != lessons:
            return []
        return self.keep(conversation, lessons, may_prove=remembered.may_prove)

    def keep(
        self, conversation: ConversationId, lessons: tuple[Lesson, ...], *, may_prove: bool
    ) -> list[Lesson]:
        """Keep lessons for a conversation; return those that hold for all by now.

        Args:
            conversation: A conversation that was refused without them, and answered with them.
            lessons: What it was repaired with.
            may_prove: Whether they may hold for others as well.
        """
        self._remember(conversation, _Remembered(lessons))
        if not may_prove:
            return []
        beginning = conversation.beginning
        return [
            lesson
            for lesson in lessons
            if self._proven_by.setdefault(lesson, beginning) != beginning
        ]

    def forget_proofs(self) -> None:
        """Have each lesson proven anew by two conversations; theirs hold for them as before."""
        self._proven_by.clear()

    def forget(self) -> None:
        """Forget everything: it is another template's."""
        self.forget_proofs()
        self._remembered.clear()

    def _remember(self, conversation: ConversationId, remembered: _Remembered) -> None:
        self._remembered[conversation] = remembered
        self._remembered.move_to_end(conversation)
        if len(self._remembered) > MAX_CONVERSATIONS:
            self._remembered.popitem(last=False)
