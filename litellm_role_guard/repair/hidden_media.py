"""Images and other media where a template shows none: the user shows them, behind a label."""

from __future__ import annotations

from ..messages.message import content_parts, has_media, part_text, plain_text
from .labelled_text import labelled_user
from .policy import RepairPolicy
from .turn import Turn


def without_media(turn: Turn) -> Turn | None:
    """Return the turn with its text alone; None where it has none, and need not stay.

    A tool result stays: its call waits for it.
    """
    text = plain_text(turn.message)
    if not text and turn.kind not in ("tool", "call"):
        return None
    # A string, since /v1/responses knows no reply of several parts.
    content = text or ("[Media]" if turn.kind == "tool" else None)
    return turn._replace(message={**turn.message, "content": content})


def is_hidden_first(turn: Turn, policy: RepairPolicy) -> bool:
    """Return whether a turn holds media that would not be shown if it were the first one."""
    speaks = turn.kind in ("user", "assistant")
    return speaks and "first user" in policy.hides_media and has_media(turn.message)


def media_as_user(turn: Turn, label: str) -> Turn:
    """Return a user turn with the media alone, behind a label that says whose they are.

    Args:
        turn: A turn that holds some.
        label: The label.
    """
    media = [part for part in content_parts(turn.message) if part_text(part) is None]
    shown = turn._replace(message={**turn.message, "content": media})
    return labelled_user(shown, label)
