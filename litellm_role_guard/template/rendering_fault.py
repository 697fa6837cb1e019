"""Whether a template renders a repaired conversation, and all of its texts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..messages.message import Message, call_name, tool_calls
from .chat_template import ChatTemplate
from .errors import TemplateRefused
from .prompt_reading import expected_texts


def rendering_fault(
    template: ChatTemplate,
    meant: Sequence[Message],
    sent: Sequence[Message],
    *,
    tools: Sequence[Mapping[str, Any]] | None = None,
    prefill: bool = False,
) -> str | None:
    """Return what a template would do wrong with a conversation; None if it reads all of it.

    Only texts and names of called tools count, without the blanks around them, which a template
    may strip. Media leave no trace in a prompt.

    Args:
        template: The template.
        meant: The client's own messages.
        sent: The messages that are rendered.
        tools: The request's tool definitions.
        prefill: Whether the last message is the opening of the reply.

    Returns:
        The message of its refusal, or "" if it leaves a text out.
    """
    try:
        prompt = template.render(
            sent, tools=tools, add_generation_prompt=not prefill, continue_final_message=prefill
        )
    except TemplateRefused as refusal:
        return str(refusal)
    search = _Search(prompt)
    return None if all(map(search.finds, _looked_for(meant))) else ""


MAX_READS = 256
"""How many times its own length is read of a prompt, in search of texts that stand in another order
than they were said in. What is looked for beyond that counts as found: a client that says thousands
of texts for a template to move gets no time for it."""

_FIRST_LOOK = 256


class _Search:
    """Looks for the texts of a conversation in its prompt, in time that grows with the prompt.

    Most stand in order, so that each is looked for behind the one before. One that was moved is
    looked for in all of the prompt, and the next one behind it.
    """

    def __init__(self, prompt: str) -> None:
        self._prompt = prompt
        self._at = 0
        self._left = MAX_READS * len(prompt)

    def finds(self, text: str) -> bool:
        """Return whether a text is in the prompt; a template may write it as JSON or as Python."""
        written = (json.dumps(text, ensure_ascii=False), json.dumps(text), repr(text))
        forms = tuple(dict.fromkeys((text, *(form[1:-1] for form in written))))
        if self._left <= 0 or self._finds(forms, self._at, len(self._prompt)):
            return True
        return self._finds(forms, 0, self._at)

    def _finds(self, forms: Sequence[str], begin: int, last: int) -> bool:
        """Look for a text that begins in a range, further and further: no form may be read to the
        end where another one is near."""
        size = _FIRST_LOOK
        while begin < last:
            size = min(size, last - begin)
            found = []
            for form in forms:
                place = self._prompt.find(form, begin, begin + size + len(form))
                self._left -= size if place < 0 else place - begin
                if place >= 0:
                    found.append(place + len(form))
            if found:
                self._at = min(found)
                return True
            begin, size = begin + size, 2 * size
        return False


def _looked_for(messages: Sequence[Message]) -> Iterator[str]:
    for message in messages:
        yield from expected_texts(message)
        for call in tool_calls(message):
            yield call_name(call)
