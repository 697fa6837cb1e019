"""An SDK or a framework, by a short program of ours in an environment of its own."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

from litellm_role_guard.simulator.scripted import Call

from ..processes import REPOSITORY
from ..proxies import MASTER_KEY
from .place import Place
from .program import SECONDS, Finished, find_installed, finish, kill
from .steps import Step

_PROGRAMS = REPOSITORY / "scripts" / "agents" / "programs"
_QUIET = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "PYTHONDONTWRITEBYTECODE": "1",
}


class Kind(NamedTuple):
    """One program on one endpoint.

    Attributes:
        name: Its name in scripts/agents/versions.txt.
        program: The file in scripts/agents/programs.
        endpoint: The endpoint that it is to speak.
        further: The steps of its chat that not all clients have.
        hand_over: How the model hands the chat over to another agent; None where it cannot.
    """

    name: str
    program: str
    endpoint: str
    further: Sequence[Step]
    hand_over: Call | None = None


class Framework:
    """A chat with a framework, whose program is led line by line.

    Args:
        kind: Which one.
        place: Where it is had.
    """

    def __init__(self, kind: Kind, place: Place) -> None:
        self.endpoint = kind.endpoint
        self.further = kind.further
        self.hand_over = kind.hand_over
        command = [find_installed(kind.name, "bin/python"), _PROGRAMS / kind.program]
        program = place.program(command, _QUIET)
        self.work = program.work
        self._process = program.start(
            place.url, MASTER_KEY, place.model, kind.endpoint, is_led=True
        )

    def read_file(self, name: str) -> Call:
        """Return the call of its tool that shows a file."""
        return Call("read_file", json.dumps({"name": name}))

    def ask(self, text: str) -> Finished:
        """Say something and wait for the answer."""
        self._order("ask", text)
        return self._answer()

    def ask_and_stop(self, text: str, wait: Callable[[], None]) -> None:
        """Say something, and stop it once the model was asked."""
        self._order("ask", text)
        wait()
        self._process.send_signal(signal.SIGINT)
        self._answer()

    def do(self, step: Step) -> Finished:
        """Do a further step."""
        self._order(step.name.replace(" ", "_"), step.says)
        return self._answer()

    def close(self) -> None:
        """End the program, whose input is over."""
        finish(self._process)

    def _order(self, step: str, text: str) -> None:
        assert self._process.stdin is not None
        print(json.dumps({"step": step, "text": text}), file=self._process.stdin, flush=True)

    def _answer(self) -> Finished:
        assert self._process.stdout is not None
        patience = threading.Timer(SECONDS, kill, [self._process])
        patience.start()
        try:
            line = self._process.stdout.readline()
        finally:
            patience.cancel()
        if not line:
            return finish(self._process)
        said = json.loads(line)
        return Finished(1 if said["error"] else 0, said["shown"], said["error"])
