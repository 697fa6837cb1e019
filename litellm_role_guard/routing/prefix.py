"""Which of several backends should take a conversation: the one whose KV cache has seen it.

    conversation ─► opening ─► a rank for each backend ─► the first one that has room

A backend's rank for an opening is a hash of the two (rendezvous, or highest random weight, hashing;
Thaler and Ravishankar, 1998): every process computes the same, in whatever order it knows the
backends, and one that comes or goes moves no conversations but its own. Room is what consistent
hashing with bounded loads (Mirrokni, Thorup and Zadimoghaddam, 2016) leaves: no backend takes more
than `LOAD_BOUND` times its share of what is in flight, once that is more than `ROOM`.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ..messages.message import Message, content_parts, is_empty, part_text, tool_calls
from ..repair.billing_line import without_line

LOAD_BOUND = 1.25
"""How many times its share of the requests in flight a backend may have."""


ROOM = 8
"""How many requests a backend may have whatever its share is. With few in flight, how they spread
over the backends is chance and no load (vLLM reads up to 256 at a time by default), and each one
that is sent away from its cache is read anew."""


OPENING_CHARS = 64
"""How much has to be said before an opening is over. Who begins with "Hi" is not told from others
who do. Up to here nothing is in a KV cache either, but the system text, which is in all of them:
vLLM keeps it in blocks of 16 tokens and more. So it costs little that the next message may send
such a conversation elsewhere."""


_HASHED_CHARS = 65536

_MEDIA_CHARS = OPENING_CHARS  # an image says enough by itself


class Candidate(NamedTuple):
    """One that may be chosen.

    Attributes:
        key: Its name, the same in every process: its address and its model.
        weight: Its share of the conversations, in proportion to that of others; 0 for none as long
            as others are there.
    """

    key: str
    weight: float = 1.0


class Choice(NamedTuple):
    """In which order to try backends.

    Attributes:
        order: Their positions in the list that was given, the best first; all of them.
        preferred: Whether the first is the one whose cache has the conversation, and not
            another that has room.
    """

    order: tuple[int, ...]
    preferred: bool


def prefix_key(messages: Sequence[Message]) -> bytes | None:
    """Return the hash of how a conversation begins; None where nothing is said.

    It stays the same while the conversation grows, and where a repair would bring two forms to the
    same: system text is read whatever role brings it, empty messages are passed over, a
    string is its text part. What vLLM strips (Claude Code's billing line) and thoughts are no part
    of it. It ends with the user message that brings what is said after the
    system text to `OPENING_CHARS`. System text alone does not tell a conversation from others.

    Args:
        messages: The conversation as the client sent it, in OpenAI's or Anthropic's form.
    """
    digest = hashlib.blake2b(digest_size=16)
    said = 0
    at_front = True
    for message in messages:
        role = "system" if message["role"] == "developer" else message["role"]
        texts = list(_said(message, role))
        if is_empty(message) or not texts:
            continue
        at_front = at_front and role == "system"
        digest.update(f"\0\0{role}".encode(errors="replace"))
        for text in texts:
            digest.update(f"\0{len(text)}\0{text[:_HASHED_CHARS]}".encode(errors="replace"))
            said += 0 if at_front else len(text)
        if role == "user" and said >= OPENING_CHARS:
            return digest.digest()
    return None if at_front else digest.digest()


def choose(
    start: bytes,
    backends: Sequence[Candidate],
    in_flight: Mapping[str, int],
    *,
    tried: Collection[int] = (),
) -> Choice:
    """Return the order in which backends should be tried for a conversation.

    Args:
        start: Its `prefix_key`.
        backends: Those that may be chosen.
        in_flight: How many requests each has now, by its key (`InFlight.load`).
        tried: Positions of backends that have failed this request already; they come last.
    """
    ranked = sorted(range(len(backends)), key=lambda at: _rank(start, backends[at]))
    shares: dict[str, float] = {}
    for backend in backends:
        shares[backend.key] = shares.get(backend.key, 0.0) + backend.weight
    whole = sum(shares.values()) or 1.0
    flying = 1 + sum(in_flight.get(key, 0) for key in shares)

    def is_full(at: int) -> bool:
        key = backends[at].key
        share = flying * shares[key] / whole
        return not share or in_flight.get(key, 0) + 1 > max(ROOM, math.ceil(LOAD_BOUND * share))

    order = tuple(sorted(ranked, key=lambda at: (at in tried, is_full(at))))
    return Choice(order, preferred=order[:1] == tuple(ranked[:1]))


def _rank(start: bytes, backend: Candidate) -> tuple[float, str]:
    """Return a rank, the smaller the better: exponential, with the weight as its rate.

    The least of such numbers is a backend's with a probability in proportion to its weight, and a
    weight that changes moves no conversations between others.
    """
    if backend.weight <= 0:
        return math.inf, _hash(start, backend).hex()
    number = int.from_bytes(_hash(start, backend), "big")
    return -math.log((number + 1) / 2**64) / backend.weight, backend.key


def _hash(start: bytes, backend: Candidate) -> bytes:
    # Not Python's own hash, which is salted in each process.
    key = backend.key.encode(errors="replace")
    return hashlib.blake2b(key, key=start, digest_size=8).digest()


def _said(message: Message, role: str) -> Iterator[str]:
    """Yield what is read of a message: not what vLLM strips, nor what was thought before."""
    for part in content_parts(message):
        text = part_text(part)
        if text is not None:
            # The line differs in each request of Claude Code's.
            text = without_line(text) if role == "system" else text
            if text.strip() and not _is_thought(part):
                yield text
        elif isinstance(part, Mapping) and not _is_thought(part):
            shown = json.dumps(_lasting(part), sort_keys=True, default=str)
            yield shown.ljust(_MEDIA_CHARS)
    for call in tool_calls(message):
        yield json.dumps(_lasting(call), sort_keys=True, default=str)


def _is_thought(part: object) -> bool:
    """Return whether a part is thinking: clients leave it out later on, and templates before."""
    return isinstance(part, Mapping) and part.get("type") in ("thinking", "redacted_thinking")


def _lasting(value: Any) -> Any:
    """Return a part without what clients move from one to another as a conversation grows."""
    if isinstance(value, Mapping):
        kept = (key for key in value if key != "cache_control")
        return {key: _lasting(value[key]) for key in kept}
    if isinstance(value, (list, tuple)):
        return list(map(_lasting, value))
    return value
