"""`make demo`: what users live through, told without the guard and with it.

Exits with 0 only if every line of the story came out as it is told.
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .fleet import Answer, Fleet, fleet

Messages = list[dict[str, Any]]
ALTERNATE = "Conversation roles must alternate"


def _say(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "content": content}


@dataclass
class Line:
    """One request of the story.

    Attributes:
        sent: What the client sent.
        answer: What came back.
        held: Whether that is what the story says.
        comment: What it means for the person who chats.
    """

    sent: Messages
    answer: Answer
    held: bool
    comment: str


@dataclass
class Chat:
    """A person who chats, with a client that keeps every message in its history."""

    fleet: Fleet
    history: Messages = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)

    def say(self, text: str, comment: str, came_true: Callable[[Answer], bool]) -> None:
        """Say something; an answer goes into the history, an error leaves the question alone."""
        self.history.append(_say("user", text))
        sent = list(self.history)
        answer = self.fleet.ask(sent)
        if answer.status == 200:
            self.history.append(_say("assistant", answer.text))
        self.lines.append(Line(sent, answer, came_true(answer), comment))


def _answered(answer: Answer) -> bool:
    return answer.status == 200


def _refused(answer: Answer) -> bool:
    return answer.status == 400 and ALTERNATE in answer.text


def _unreachable(answer: Answer) -> bool:
    return answer.status >= 500 and not any(answer.prompts)


def dropped_connection(fleet: Fleet, *, guarded: bool) -> list[Line]:
    """The chat that a dropped connection kills, or does not."""
    chat = Chat(fleet)
    chat.say("hello", "answered", _answered)
    fleet.fail("refuse")
    chat.say("are you there?", "the connection drops", _unreachable)
    fleet.fail(None)
    if guarded:
        chat.say("hello again", "answered: the chat goes on", _answered)
        chat.say("good", "and goes on", _answered)
        read = chat.lines[2].answer.prompts[-1] or ""
        chat.lines[2].held &= "are you there?" in read and "hello again" in read
    else:
        chat.say("hello again", "refused", _refused)
        chat.say("please?", "refused from now on: the chat is dead", _refused)
    return chat.lines


SINGLE: dict[str, tuple[Messages, str]] = {
    "A developer message amid the conversation": (
        [
            _say("user", "hello"),
            _say("assistant", "hi"),
            _say("developer", "Answer in French."),
            _say("user", "how are you?"),
        ],
        "refused",
    ),
    "A system message amid the conversation": (
        [
            _say("user", "hello"),
            _say("assistant", "hi"),
            _say("system", "The user is a child."),
            _say("user", "what is war?"),
        ],
        "refused",
    ),
    "A system message alone": ([_say("system", "Tell a joke about cats.")], "never read"),
}


def single(messages: Messages, fate: str) -> Callable[..., list[Line]]:
    """Give the telling of a conversation that is sent as a whole."""

    def tell(fleet: Fleet, *, guarded: bool) -> list[Line]:
        answer = fleet.ask(messages)
        prompt = answer.prompts[-1] if answer.prompts else None
        whole = prompt is not None and all(message["content"] in prompt for message in messages)
        if guarded:
            held, comment = answer.status == 200 and whole, "answered, every text read"
        elif fate == "refused":
            held, comment = _refused(answer), "refused"
        else:
            held = answer.status == 200 and not whole
            comment = "answered, and the model never saw it"
        return [Line(messages, answer, held, comment)]

    return tell


def main() -> int:
    """Tell the story; give the exit code."""
    started = time.monotonic()
    console = Console(width=max(110, Console().width), highlight=False)
    stories: dict[str, Callable[..., list[Line]]] = {
        "A connection drops": dropped_connection,
        **{title: single(*told) for title, told in SINGLE.items()},
    }
    console.print("Two simulated vLLM backends with a strict chat template, behind a LiteLLM proxy")
    console.print("that runs config.example.yaml. Starting it without the plugin, and with it ...")

    def tell(guarded: bool) -> dict[str, list[Line]]:
        with (
            tempfile.TemporaryDirectory() as folder,
            fleet(Path(folder), guarded=guarded) as running,
        ):
            return {title: story(running, guarded=guarded) for title, story in stories.items()}

    with ThreadPoolExecutor(2) as both:
        without, with_guard = both.map(tell, (False, True))
    for title in stories:
        console.print(_table(title, without[title], with_guard[title]))
    lines = [line for told in (without, with_guard) for lines in told.values() for line in lines]
    broken = [line for line in lines if not line.held]
    seconds = time.monotonic() - started
    console.print(f"{len(lines) - len(broken)} of {len(lines)} lines held, in {seconds:.0f} s.")
    for line in broken:
        console.print(f"[red]did not hold:[/] {escape(str(line))}")
    return 1 if broken else 0


def _table(title: str, without: list[Line], with_guard: list[Line]) -> Table:
    table = Table(title=f"\n{title}", title_justify="left", title_style="bold")
    table.add_column("", no_wrap=True)
    table.add_column("the client sent", no_wrap=True)
    table.add_column("what the model read", no_wrap=True)
    table.add_column("outcome", ratio=1)
    for name, lines in (("without", without), ("with guard", with_guard)):
        for line in lines:
            table.add_row(name, *_cells(line), end_section=True)
    return table


def _cells(line: Line) -> tuple[str, str, str]:
    sent = [f"{message['role']}: {message['content']}" for message in line.sent]
    answer = line.answer
    prompts = [prompt for prompt in answer.prompts if prompt]
    read = [text for text in prompts[-1].splitlines() if text] if prompts else []
    colour = "green" if answer.status == 200 and "never" not in line.comment else "red"
    outcome = f"[{colour}]{answer.status}[/] {line.comment}\n[dim]{escape(_words(answer))}[/]"
    if answer.repairs:
        outcome += f"\n[cyan]x-role-guard: {escape(answer.repairs)}[/]"
    if not line.held:
        outcome += "\n[red bold]not as told[/]"
    return _last(sent), _last(read) if read else "[dim]nothing[/]", outcome


def _words(answer: Answer) -> str:
    """Give the backend's own words of an error, without LiteLLM's wrapping, or the answer."""
    if answer.status == 200:
        return _short(" ".join(answer.text.split()), 90)
    quoted = re.search(r'"message": ?"([^"]*)"', answer.text)
    words = quoted[1] if quoted else answer.text.partition(" - ")[2] or answer.text
    return _short(words.partition("\n")[0], 90)


def _last(lines: list[str], count: int = 5) -> str:
    """Give the last lines, each cut short."""
    dots = ["..."] if len(lines) > count else []
    return escape("\n".join(_short(line, 32) for line in [*dots, *lines[-count:]]))


def _short(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."


if __name__ == "__main__":
    sys.exit(main())
