"""A chat that is led from outside: orders and answers are lines of JSON, Ctrl-C stops what runs.

The programs beside this file run in environments of their own, each with one SDK or framework; what
they share needs nothing but Python.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

INSTRUCTIONS = "You read files for the user, and say what is in them."
CHECKER_INSTRUCTIONS = "You check what the reader has said, and say which words there were."
LATE_INSTRUCTION = "From here on, answer in one line."
TO_BE_CUT = "Say the words one by one, slowly."
"""What is asked where the reply is broken off half-way."""

Step = Callable[[str], Awaitable[str]]
"""Says something, and returns the answer in the end."""


class Place(NamedTuple):
    """Whom to ask.

    Attributes:
        url: The address of the proxy.
        key: A key of the proxy.
        model: The model group.
        endpoint: "chat", "messages" or "responses".
    """

    url: str
    key: str
    model: str
    endpoint: str


def read_file(name: str) -> str:
    """Return the text of a file.

    Args:
        name: The file's name.
    """
    return Path(name).read_text(encoding="utf-8")


def lead(*chats: Callable[[Place], object]) -> None:
    """Make a chat of the first class whose `endpoint` is that of the command line, and run it.

    Its methods are the steps: `{"step": "ask", "text": "..."}` calls `ask`, and is answered by
    `{"shown": "...", "error": ""}`.
    """
    place = Place(*sys.argv[1:])
    chat = next(each for each in chats if getattr(each, "endpoint", "chat") == place.endpoint)
    asyncio.run(_lead(chat(place)))


async def _lead(chat: object) -> None:
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    sys.stdout = sys.stderr  # what a framework prints is no answer
    loop = asyncio.get_running_loop()
    while line := await asyncio.to_thread(sys.stdin.readline):
        order = json.loads(line)
        step: Step = getattr(chat, order["step"])
        running = asyncio.ensure_future(step(order["text"]))
        loop.add_signal_handler(signal.SIGINT, running.cancel)
        shown, error = "", ""
        try:
            shown = await running
        except asyncio.CancelledError:
            error = "stopped"
        except Exception as raised:
            error = f"{type(raised).__name__}: {raised}"
        print(json.dumps({"shown": shown, "error": error}), file=answers, flush=True)
