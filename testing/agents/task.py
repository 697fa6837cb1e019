"""A task that takes rounds of tool calls, and a scripted model that knows only what it reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from litellm_role_guard.simulator.scripted import Call, Prompt, Said

from .steps import HAND_OVER

WORDS = ("amber-4417", "birch-2093", "cedar-8852")
FILES = {
    "first.txt": f"The first word is {WORDS[0]}.\n",
    "second.txt": f"The second word is {WORDS[1]}.\nThe third one stands in third.txt.\n",
    "third.txt": f"The third word is {WORDS[2]}.\n",
}
QUESTION = "Read first.txt and second.txt, and the file that one of them names. What do they say?"
ANSWER = f"The words are {WORDS[0]}, {WORDS[1]} and {WORDS[2]}."
GAVE_UP = "I still have not seen what is in the files."
MOST_ANSWERS = 12
"""How often the model asks for files before it gives up: more than any task here takes."""


def write_files(folder: Path) -> None:
    """Write the files that the task is about."""
    for name, text in FILES.items():
        (folder / name).write_text(text)


def is_done(said: str) -> bool:
    """Return whether what a client shows in the end has all the words."""
    return all(word in said for word in WORDS)


class ScriptedModel:
    """Reads the files by the client's tool: two at once, then one, and then answers.

    It goes by its prompt alone. So it answers only where the template shows it what the tools
    returned, and asks on and on where it does not.

    Args:
        read_file: The call of the client's tool that reads a file of this name.
        hand_over: The call that hands the chat over to another agent, where the user asks for it.
    """

    def __init__(self, read_file: Callable[[str], Call], hand_over: Call | None = None) -> None:
        self._read_file = read_file
        self._hand_over = hand_over
        self._asked = 0

    def __call__(self, prompt: Prompt) -> Said:
        """Say what follows from a prompt."""
        first, second, third = (word in prompt.text for word in WORDS)
        if self._hand_over and HAND_OVER.says in prompt.text and _has(prompt, self._hand_over.name):
            return Said("", [self._hand_over])
        if first and second and third:
            return Said(ANSWER)
        if prompt.tools:
            self._asked += 1
        if self._asked > MOST_ANSWERS:
            return Said(GAVE_UP)
        if first and second:
            return Said("One more.", [self._read_file("third.txt")])
        return Said("Let me look.", [self._read_file(name) for name in ("first.txt", "second.txt")])


def _has(prompt: Prompt, name: str) -> bool:
    return any(tool["function"]["name"] == name for tool in prompt.tools)
