"""A reader of repaired turns who knows the grammar of labels: who said what."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from litellm_role_guard.messages.message import content_parts, part_text
from litellm_role_guard.repair.labels import DEFAULT_FORM, WORDS, LabelForm


class Said(NamedTuple):
    """What a reader takes for the words of one speaker.

    Attributes:
        role: The turn in which it stands.
        words: What the label before it says; empty before the first label of a turn.
        name: Whose it is by name, in the label or behind the text; empty where nothing tells.
        text: The text.
    """

    role: str
    words: str
    name: str
    text: str


def who_said_what(messages: Sequence[Any], form: LabelForm = DEFAULT_FORM) -> Iterator[Said]:
    """Yield what stands in turns, by the labels in them and nothing else."""
    words = "|".join(f"{each}[^{re.escape(form.closing[0])}:]*" for each in WORDS)
    label = re.compile(
        rf"{re.escape(form.opening)}({words})(?:: (.*?))?(?: #\d+)?{re.escape(form.closing)}\n?"
    )
    for message in messages:
        text = "".join(part_text(part) or "\0" for part in content_parts(message))
        own_name = message.get("name") or ""
        told, name, begin = "", own_name if isinstance(own_name, str) else "", 0
        for found in label.finditer(text):
            before = text[begin : found.start()]
            begin = found.end()
            if found[1] == "End of message":
                yield Said(message["role"], told, found[2] or "", before)
                told, name = "?", ""
                continue
            yield Said(message["role"], told, name, before)
            told, name = found[1].strip(), found[2] or ""
        yield Said(message["role"], told, name, text[begin:])
