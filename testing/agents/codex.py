"""OpenAI's Codex, which speaks /v1/responses."""

from __future__ import annotations

import json
from collections.abc import Sequence

from litellm_role_guard.simulator.scripted import Call

from ..proxies import MASTER_KEY
from .one_shot import OneShot
from .place import Place
from .program import Finished, find_installed
from .steps import Step

NAME = "codex"

CONFIG = """\
model = "{model}"
model_provider = "guarded"
check_for_update_on_startup = false

[model_providers.guarded]
name = "guarded"
base_url = "{url}/v1"
env_key = "LITELLM_KEY"
wire_api = "responses"

[features]
plugins = false
remote_plugin = false
apps = false
skill_search = false

[analytics]
enabled = false

[feedback]
enabled = false
"""
_ALLOWED = ("--sandbox", "danger-full-access")
_EXECUTABLE = "node_modules/@openai/codex-*/vendor/*/bin/codex"


class Codex(OneShot):
    """A chat with Codex.

    Args:
        place: Where it is had.
    """

    endpoint = "responses"

    def __init__(self, place: Place) -> None:
        program = place.program(
            # Nobody is there to be asked whether a command may run; the working folder is a test's.
            [find_installed(NAME, _EXECUTABLE), "exec", "--skip-git-repo-check", *_ALLOWED],
            {"LITELLM_KEY": MASTER_KEY, "CODEX_HOME": str(place.folder / "home")},
        )
        config = CONFIG.format(model=place.model, url=place.url)
        (program.home / "config.toml").write_text(config)
        super().__init__(program)

    def read_file(self, name: str) -> Call:
        """Return the call of its shell that shows a file."""
        return Call("exec_command", json.dumps({"cmd": f"cat {name}"}))

    def do(self, step: Step) -> Finished:
        """Say something when the chat has become too long, so that it is summed up first."""
        return self.ask(step.says, "-c", "model_auto_compact_token_limit=100")

    def arguments(self, text: str, *, resumes: bool) -> Sequence[str]:
        """Return the arguments with which it is asked something, in a new chat or in its last."""
        return ("resume", "--last", text) if resumes else (text,)
