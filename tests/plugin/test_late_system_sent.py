"""Late system messages of /v1/messages, through LiteLLM's own router and adapter, as sent on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import litellm
import pytest
from litellm.router import Router

from litellm_role_guard import ChatTemplate, RoleGuard
from litellm_role_guard.simulator import create_app
from testing.proxied import LENIENT, STRICT, Backend, deployment
from testing.serving import serving

TEMPLATES = {"strict": STRICT, "lenient": LENIENT}
SAID = [
    {"role": "user", "content": "hello"},
    {"role": "assistant", "content": "hi"},
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": "what now?"},
]
LABELLED = "<|user|>[System message]\nbe brief\n\n[User message]\nwhat now?<|end|>"
NATIVE = "<|assistant|>hi<|end|>\n<|system|>be brief<|end|>\n<|user|>what now?<|end|>"
IN_FRONT = "<|system|>be kind\n\nbe brief<|end|>\n<|user|>hello<|end|>"
BOTH_IN_FRONT = "<|system|>be kind<|end|>\n<|system|>be brief<|end|>\n<|user|>hello<|end|>"


@pytest.fixture(scope="module")
def backends() -> Iterator[dict[str, Backend]]:
    """Run a strict backend and one that reads every role."""
    with ExitStack() as stack:
        yield {
            # What LiteLLM is told of a model holds for all deployments with its name.
            name: Backend(
                stack.enter_context(serving(create_app(ChatTemplate.from_path(path), model=name)))
            )
            for name, path in TEMPLATES.items()
        }


@pytest.mark.parametrize(
    ("template", "way", "read"),
    [
        ("strict", "auto", LABELLED),
        ("strict", "in_place", LABELLED),
        ("strict", "front", IN_FRONT),
        ("lenient", "auto", NATIVE),
        ("lenient", "in_place", NATIVE),
        ("lenient", "front", BOTH_IN_FRONT),
    ],
)
async def test_the_operator_says_where_it_goes(
    backends: dict[str, Backend],
    guard: RoleGuard,
    monkeypatch: pytest.MonkeyPatch,
    template: str,
    way: str,
    read: str,
) -> None:
    """A system turn of its own where the template reads it, the user's labelled words, or in front.

    Without LiteLLM's own note, and with the rest of the conversation as it was.
    """
    monkeypatch.setattr(litellm, "model_cost", dict(litellm.model_cost))
    backend = backends[template]
    backend.forget()
    entry = deployment("chat", backend, late_system=way, chat_template=str(TEMPLATES[template]))
    router = Router([entry], num_retries=0)
    answer = await router.aanthropic_messages(
        model="chat", messages=SAID, system="be kind", max_tokens=8, stream=True
    )
    assert [piece async for piece in answer]
    (call,) = backend.calls()
    assert read in call["prompt"]
    assert call["prompt"].count("be brief") == 1
    assert "not from the user" not in call["prompt"]
    assert guard.counts["failed"] == 0
