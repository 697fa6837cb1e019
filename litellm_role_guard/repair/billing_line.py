"""The line that Claude Code puts before its system text, new with each request.

vLLM strips it where it opens a system message (`renderers/chat_utils.py`, 0.32.0), and nowhere
else. Moved into a user turn, or behind other system text, it would stand in the prompt, and next to
nothing of the prompt would be found in the prefix cache.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..messages.message import part_text
from ..profile.states import SYSTEM_KINDS
from .turn import Turn

PREFIX = "x-anthropic-billing-header"


def without_billing_line(turn: Turn) -> Turn:
    """Return a system or developer turn without the line; the same turn where it has none."""
    content = turn.message.get("content")
    if turn.kind not in SYSTEM_KINDS or not content:
        return turn
    if isinstance(content, str):
        cut: Any = without_line(content)
    else:
        cut = [kept for part in content if (kept := _cut_part(part)) is not None]
    if cut == content:
        return turn
    return turn._replace(message={**turn.message, "content": cut})


def without_line(text: str) -> str:
    """Return a text of a system message without the line; the same text where it has none."""
    return text.partition("\n")[2] if text.startswith(PREFIX) else text


def _cut_part(part: Any) -> Any:
    """Return a part without the line, None where nothing else is in it."""
    text = part_text(part)
    if text is None or not text.startswith(PREFIX):
        return part
    rest = without_line(text)
    if not rest:
        return None
    return rest if not isinstance(part, Mapping) else {"type": "text", "text": rest}
