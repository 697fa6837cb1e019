"""A proxy as an admin runs it: keys with metadata, JSON logs, addresses with credentials."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .processes import REPOSITORY, free_port, waited_for
from .proxied import STRICT, Backend, Proxy, deployment
from .proxies import start_proxy

PASSWORD, TOKEN, KEY = "pa55word-of-the-url", "t0ken-of-the-url", "k3y-of-the-backend"

AUTH = REPOSITORY / "tests" / "proxy" / "admin.py"

CRITICS = """{%- for m in messages -%}
{%- if m.role == 'critic' -%}[CRITIC]{{ m.content }}
{%- elif m.role in ['user', 'assistant', 'system'] -%}{{ '<' + m.role + '>' + m.content }}
{%- else -%}{{ raise_exception('Unexpected message role.') }}{%- endif -%}
{%- endfor -%}"""
"""A template that knows a role which is not OpenAI's."""


def with_credentials(group: str, backend: Backend, **settings: Any) -> dict[str, Any]:
    """Give a deployment whose address has a name, a password and a token in it."""
    entry = deployment(group, backend, **settings)
    host = backend.url.removeprefix("http://")
    entry["litellm_params"] |= {
        "api_base": f"http://ann:{PASSWORD}@{host}/v1?token={TOKEN}",
        "api_key": KEY,
    }
    return entry


@contextmanager
def managed(strict: Backend, critics: Backend, folder: Path) -> Iterator[Proxy]:
    """Run a proxy with `json_logs`, the guard at DEBUG, and a dead deployment before a live one.

    Args:
        strict: A backend whose template wants turns to alternate.
        critics: One that serves `CRITICS`.
        folder: Where its config and its log go.
    """
    shutil.copy(AUTH, folder)
    shutil.copy(STRICT, folder / "strict.jinja")  # which a key is steered to
    dead = Backend(f"http://127.0.0.1:{free_port()}")
    gone = deployment("gone", strict, learn=False)
    gone["litellm_params"] |= {"api_base": f"{dead.url}/v1", "max_retries": 0}
    config = {
        "model_list": [
            deployment("strict", strict, chat_template=str(STRICT)),
            deployment("rejecting", strict, mode="reject", chat_template=str(STRICT)),
            deployment("unlearnt", strict, learn=False),
            deployment("critics", critics, learn_wait=30.0),
            with_credentials("secret", strict, learn=False),
            with_credentials("asked", strict),
            gone,
        ],
        "litellm_settings": {"callbacks": ["litellm_role_guard.role_guard"], "json_logs": True},
        "callback_settings": {
            "role_guard": {"log_level": "DEBUG", "request_override": ["mode", "long_run"]}
        },
        "router_settings": {
            "num_retries": 2,
            "retry_after": 0,
            "fallbacks": [{"gone": ["strict"]}],
            "disable_cooldowns": True,
        },
        "general_settings": {"custom_auth": "admin.user_api_key_auth"},
    }
    with start_proxy(config, folder) as url:
        # The last lines of its start come seconds later where the machine is busy.
        waited_for(folder / "proxy.log", '"ready: ')
        yield Proxy(url)


class Log:
    """What a proxy has written since a moment."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._from = len(path.read_text())

    @property
    def text(self) -> str:
        """Everything."""
        return self._path.read_text()[self._from :]

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The guard's own lines, as data."""
        found = [json.loads(line) for line in self.text.splitlines() if line.startswith("{")]
        return [line for line in found if line.get("component") == "litellm_role_guard"]
