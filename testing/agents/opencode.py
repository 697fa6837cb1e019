"""OpenCode, which speaks all three endpoints, each by a provider's package of its own."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx

from litellm_role_guard.simulator.scripted import Call

from ..processes import free_port
from ..proxies import MASTER_KEY
from .place import Place
from .program import INSTALLED, SECONDS, Finished, find_installed, finish
from .steps import COMPACTION, Step

NAME = "opencode"

_PACKAGES = {
    "chat": "@ai-sdk/openai-compatible",
    "messages": "@ai-sdk/anthropic",
    "responses": "@ai-sdk/openai",
}
QUIET = {
    "OPENCODE_DISABLE_AUTOUPDATE": "1",
    "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
    "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
    "OPENCODE_DISABLE_MODELS_FETCH": "1",
}
# What reaches its server in the moment in which it starts is never answered.
_START_SECONDS = 5.0
_EXECUTABLE = "node_modules/opencode-*/bin/opencode"


class OpenCode:
    """A chat with OpenCode, by the server that its own window talks to.

    Args:
        place: Where it is had.
        endpoint: The endpoint that it is to speak.
    """

    further: Sequence[Step] = (COMPACTION,)
    hand_over: Call | None = None

    def __init__(self, place: Place, *, endpoint: str) -> None:
        config = place.folder / "opencode.json"
        program = place.program(
            [find_installed(NAME, _EXECUTABLE), "serve", "--hostname", "127.0.0.1"],
            {"OPENCODE_CONFIG": str(config), "LITELLM_KEY": MASTER_KEY, **QUIET},
        )
        _bring_plugin(program.home / ".config" / "opencode")
        config.write_text(json.dumps(_config(place, _PACKAGES[endpoint])))
        self.endpoint = endpoint
        self.work = program.work
        self._model = {"providerID": "guarded", "modelID": place.model}
        port = free_port()
        self._process = program.start("--port", str(port))
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=SECONDS)
        self._session = ""

    def read_file(self, name: str) -> Call:
        """Return the call of its tool that shows a file."""
        return Call("read", json.dumps({"filePath": str(self.work / name)}))

    def ask(self, text: str) -> Finished:
        """Say something and wait for the answer."""
        if not self._session:
            self._session = self._open()
        body = {"model": self._model, "parts": [{"type": "text", "text": text}]}
        return _finished(self._http.post(f"/session/{self._session}/message", json=body))

    def ask_and_stop(self, text: str, wait: Callable[[], None]) -> None:
        """Say something, and stop it once the model was asked."""
        asking = threading.Thread(target=self.ask, args=(text,))
        asking.start()
        wait()
        self._http.post(f"/session/{self._session}/abort").raise_for_status()
        asking.join()

    def do(self, step: Step) -> Finished:
        """Have the chat summed up, and say something then."""
        self._http.post(f"/session/{self._session}/summarize", json=self._model).raise_for_status()
        return self.ask(step.says)

    def close(self) -> None:
        """End its server."""
        self._http.close()
        finish(self._process, signal.SIGTERM)

    def _open(self) -> str:
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                opened = self._http.post("/session", json={}, timeout=_START_SECONDS)
                return str(opened.raise_for_status().json()["id"])
            except httpx.TransportError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.2)


def _bring_plugin(folder: Path) -> None:
    """Put its plugin package where it looks for it, and would install it from the npm registry."""
    folder.mkdir(parents=True)
    for name in ("node_modules", "package-lock.json"):
        (folder / name).symlink_to(INSTALLED / NAME / name)


def _config(place: Place, package: str) -> dict[str, Any]:
    model = place.model
    limit = {"context": 200_000, "output": 8_000}
    provider = {
        "npm": package,
        "name": "guarded",
        "options": {"baseURL": f"{place.url}/v1", "apiKey": "{env:LITELLM_KEY}"},
        "models": {model: {"tool_call": True, "limit": limit}},
    }
    name = f"guarded/{model}"
    return {
        "autoupdate": False,
        "share": "disabled",
        "model": name,
        "small_model": name,
        "permission": {"*": "allow"},
        "provider": {"guarded": provider},
    }


def _finished(answer: httpx.Response) -> Finished:
    if answer.status_code != 200:
        return Finished(1, "", answer.text)
    said = answer.json()
    texts = [part["text"] for part in said["parts"] if part["type"] == "text"]
    error = said["info"].get("error")
    return Finished(1 if error else 0, "".join(texts), json.dumps(error))
