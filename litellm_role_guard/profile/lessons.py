"""What refusals have taught about one backend, and for whom it holds.

A lesson that got a conversation answered holds for that conversation. It holds for all once two
different conversations have proven it: whatever is odd about one of them is not the template's.
Nothing of what was said is kept, only its hash.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..messages.message import Message, content_parts, part_text
from .refusals import Lesson

MAX_CONVERSATIONS = 512
"""How many conversations' lessons are remembered, those used last."""


class ConversationId(NamedTuple):
    """What tells a conversation from others, from its first turn to its last.

    Attributes:
        owner: Whose it is. A lesson of one client's does not hold for the same words of another's.
        beginning: The hash of its messages up to the first turn.
    """

    owner: tuple[str, ...]
    beginning: bytes


def conversation_id(messages: Sequence[Message], owner: tuple[str, ...]) -> ConversationId:
    """Return the id of a conversation.

    Args:
        messages: The messages as the client meant them.
        owner: Whose they are.
    """
    return ConversationId(owner, _beginning(messages, lambda text: text))


def proof_of(messages: Sequence[Message]) -> bytes:
    """Return what tells a conversation's proof of a lesson from that of another conversation.

    Those that begin alike are one proof, whoever has them: another space makes no other one.

    Args:
        messages: The messages as the client meant them.
    """
    return _beginning(messages, lambda text: " ".join(text.split()))


def _beginning(messages: Sequence[Message], written: Callable[[str], str]) -> bytes:
    told = hashlib.blake2b(digest_size=16)
    for message in messages:
        role = message["role"]
        told.update(f"\n{role}:".encode())
        for part in content_parts(message):
            text = part_text(part)
            words = written(repr(part) if text is None else text)
            told.update(words.encode(errors="surrogatepass"))
        if role not in ("system", "developer"):
            break
    return told.digest()


class _Remembered(NamedTuple):
    lessons: tuple[Lesson, ...]
    is_tried: bool = False
    proof: bytes | None = None


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
        self, conversation: ConversationId, lessons: tuple[Lesson, ...], *, proof: bytes | None
    ) -> None:
        """Have a conversation try lessons at its next attempt; none have it try nothing any more.

        Args:
            conversation: The conversation that was refused.
            lessons: What its next attempt is to be repaired with.
            proof: What the answer to that attempt is as a proof for all; None for no proof.
        """
        if lessons:
            self._remember(conversation, _Remembered(lessons, True, proof))
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
        return self.keep(conversation, lessons, proof=remembered.proof)

    def keep(
        self, conversation: ConversationId, lessons: tuple[Lesson, ...], *, proof: bytes | None
    ) -> list[Lesson]:
        """Keep lessons for a conversation; return those that hold for all by now.

        Args:
            conversation: A conversation that was refused without them, and answered with them.
            lessons: What it was repaired with.
            proof: What its answer is as a proof for all (`proof_of`); None for no proof.
        """
        self._remember(conversation, _Remembered(lessons))
        if proof is None:
            return []
        return [lesson for lesson in lessons if self._proven_by.setdefault(lesson, proof) != proof]

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
