"""Backends that follow a script, and a LiteLLM proxy in front with the guard and one without."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from litellm_role_guard.simulator import create_app
from litellm_role_guard.simulator.engine import tell
from litellm_role_guard.simulator.scripted import Prompt, Said, Script
from litellm_role_guard.template.chat_template import ChatTemplate

from ..failing_backend import FailingBackend
from ..proxied import deployment
from ..proxies import start_proxy
from ..real_templates import HOME
from ..serving import serving
from .recorder import Recorder, recording

CONTEXT = 1_000_000
"""The context length of the models, so that no agent's tools are too many for a simulated one."""

_FILES = {
    "gemma-3": "trl/chat_templates/gemma3.jinja",
    "mistral-nemo": "axolotl/utils/chat_templates/templates/mistral_v3_tekken.jinja",
    "llama3.1": "trl/chat_templates/llama3_1.jinja",
    "qwen-3": "trl/chat_templates/qwen3.jinja",
}
MODELS = tuple(_FILES)
"""The models, each served with its real chat template.

Were there "llama-3" in a name, LiteLLM would look for a tokenizer at Hugging Face at each request.
"""


class ScriptedBackend(FailingBackend):
    """A simulated vLLM whose script can be changed.

    Attributes:
        template: Its chat template.
        script: What it says; what it has read, until it is set.
    """

    template: ChatTemplate
    script: Script

    def say(self, prompt: Prompt) -> Said:
        """Follow the script."""
        return self.script(prompt)


@dataclass(frozen=True)
class World:
    """All that stands behind a client.

    Attributes:
        backends: The backends, by the names of their models.
        guarded: The proxy with the guard.
        bare: The same proxy without it.
        keeping: The bare one again, but told to keep system messages where they stand, as the guard
            has LiteLLM do: what it sends is what the guard gets to see. Where nobody asks
            /v1/messages that is what the bare one sends, which stands here then.
    """

    backends: Mapping[str, ScriptedBackend]
    guarded: Recorder
    bare: Recorder
    keeping: Recorder


@contextmanager
def world(
    folder: Path, models: Sequence[str] = MODELS, *, asks_messages: bool = True
) -> Iterator[World]:
    """Run all of it until the block is left.

    Args:
        folder: Where to put configs and logs.
        models: Which of the models.
        asks_messages: Whether anybody asks /v1/messages.
    """
    with ExitStack() as stack:
        backends = {name: stack.enter_context(_backend(name)) for name in models}
        recorders = []
        for name, (settings, info) in list(_PROXIES.items())[: 3 if asks_messages else 2]:
            (folder / name).mkdir()
            config = {
                "model_list": [_entry(model, backends[model], info) for model in models],
                "router_settings": {"num_retries": 0, "disable_cooldowns": True},
                **settings,
            }
            proxy = stack.enter_context(start_proxy(config, folder / name))
            recorders.append(stack.enter_context(recording(proxy)))
        yield World(backends, recorders[0], recorders[1], recorders[-1])


# A first request that came before the backend has told would be repaired by the cautious default.
_GUARD: dict[str, Any] = {
    "litellm_settings": {"callbacks": ["litellm_role_guard.role_guard"]},
    "callback_settings": {"role_guard": {"learn_wait": 30.0}},
}
_KEEPS: dict[str, Any] = {"supports_mid_conversation_system": True}
_PROXIES = {"guarded": (_GUARD, {}), "bare": ({}, {}), "keeping": ({}, _KEEPS)}


def _entry(model: str, backend: ScriptedBackend, info: Mapping[str, Any]) -> dict[str, Any]:
    entry = deployment(model, backend)
    entry["litellm_params"]["max_retries"] = 0  # or a dropped connection takes 15 seconds
    return {**entry, "model_info": dict(info)}


@contextmanager
def _backend(name: str) -> Iterator[ScriptedBackend]:
    backend = ScriptedBackend("")
    backend.script = tell
    backend.template = ChatTemplate.from_path(HOME / "templates" / _FILES[name])
    app = create_app(
        backend.template,
        model=name,
        max_model_len=CONTEXT,
        enable_auto_tool_choice=True,
        script=backend.say,
    )
    with serving(app) as backend.url:
        yield backend
