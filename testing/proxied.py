"""A proxy and its simulated backends as a client sees them, on all three endpoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx

from .litellm_release import ANTHROPIC_ERRORS, NAMES_ERRORS
from .processes import free_port
from .proxies import MASTER_KEY
from .templates import TEMPLATES

STRICT, LENIENT = TEMPLATES / "alternating.jinja", TEMPLATES / "plain.jinja"
ENDPOINTS = {
    "chat": "/v1/chat/completions",
    "messages": "/v1/messages",
    "responses": "/v1/responses",
}
CLIENT = httpx.Client(timeout=60)
PROBED = ("/v1/models", "/v1/chat/completions/render")
"""Where the guard asks a backend what it is, whenever that is due."""


WRONG_PROFILES = [
    f"wrong-{size}-{endpoint}-{form}"
    for size in ("one", "two")
    for endpoint in ENDPOINTS
    for form in ("plain", "stream")
]

USER = {"role": "user", "content": "are you there?"}
REPLY = {"role": "assistant", "content": "yes, all the time"}
RUN = [{"role": "user", "content": "hello"}, REPLY, USER, {"role": "user", "content": "and now?"}]


@dataclass
class Backend:
    """A simulated vLLM."""

    url: str

    def calls(self) -> list[dict[str, Any]]:
        """Give what reached the model's endpoints since `forget`, the oldest first."""
        received: list[dict[str, Any]] = CLIENT.get(f"{self.url}/control/requests").json()
        asked = [call for call in received if call["path"].startswith("/v1/")]
        return [call for call in asked if call["path"] not in PROBED]

    def forget(self) -> None:
        """Forget what was received."""
        CLIENT.delete(f"{self.url}/control/requests").raise_for_status()

    @property
    def model(self) -> str:
        """Give the name of the model that is served."""
        name: str = CLIENT.get(f"{self.url}/v1/models").json()["data"][0]["id"]
        return name


@dataclass
class Proxy:
    """A running LiteLLM proxy."""

    url: str

    def post(
        self, endpoint: str, body: dict[str, Any], *, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """Post a body to an endpoint, as it is."""
        sent = {"Authorization": f"Bearer {MASTER_KEY}", **(headers or {})}
        return CLIENT.post(self.url + ENDPOINTS[endpoint], json=body, headers=sent)

    def ask(
        self,
        endpoint: str,
        group: str,
        messages: list[dict[str, Any]],
        *,
        stream: bool = False,
        **fields: Any,
    ) -> httpx.Response:
        """Ask a model group with a conversation, in the endpoint's own form."""
        return self.post(endpoint, body_of(endpoint, group, messages, stream=stream) | fields)


def body_of(
    endpoint: str, group: str, messages: list[dict[str, Any]], *, stream: bool = False
) -> dict[str, Any]:
    """Write a conversation as an endpoint's request."""
    body: dict[str, Any] = {"model": group, "stream": stream}
    if endpoint == "responses":
        return {**body, "input": messages}
    if endpoint == "messages":
        return {**body, "messages": messages, "max_tokens": 64}
    return {**body, "messages": messages}


def answered(response: httpx.Response) -> bool:
    """Tell whether an answer came, and for a stream, came to its end."""
    if response.status_code != 200:
        return False
    if not response.headers["content-type"].startswith("text/event-stream"):
        return True
    ends = ("[DONE]", "message_stop", "response.completed")
    return any(end in response.text for end in ends)


def error_of(endpoint: str, response: httpx.Response) -> dict[str, Any]:
    """Give the error of a response, having checked the endpoint's own shape around it."""
    body = response.json()
    if endpoint == "messages" and ANTHROPIC_ERRORS:
        assert body["type"] == "error"
    error: dict[str, Any] = body["error"]
    assert error["type"] == "invalid_request_error" or not NAMES_ERRORS
    return error


def deployment(
    group: str, backend: Backend, *, provider: str = "hosted_vllm", **settings: Any
) -> dict[str, Any]:
    """Give a config's entry for a deployment with settings of its own."""
    params = {"model": f"{provider}/{backend.model}", "api_base": f"{backend.url}/v1"}
    entry = {"model_name": group, "litellm_params": {**params, "api_key": "none"}}
    return {**entry, "model_info": {"role_guard": settings}} if settings else entry


def texts_of(messages: list[dict[str, Any]]) -> list[str]:
    """Give the texts of a conversation in order."""
    return [message["content"] for message in messages]


def in_order(texts: list[str], prompt: str) -> bool:
    """Tell whether texts stand in a prompt, one after the other."""
    position = 0
    for text in texts:
        position = prompt.find(text, position)
        if position < 0:
            return False
        position += len(text)
    return True


def model_list(backends: dict[str, Backend]) -> list[dict[str, Any]]:
    """Give the groups that the tests ask for."""
    a, b = backends["a"], backends["b"]
    dead = Backend(f"http://127.0.0.1:{free_port()}")
    gone = deployment("gone", a, separator=" gone ", learn=False)
    gone["litellm_params"]["api_base"] = f"{dead.url}/v1"
    wrong = [
        deployment(group, backend, chat_template=str(LENIENT))
        for group in WRONG_PROFILES
        for backend in ((a, b) if "two" in group else (a,))
    ]
    return [
        deployment("strict", a, chat_template=str(STRICT)),
        deployment("cautious", a, learn=False),
        deployment("other", a, provider="openai"),
        deployment("observed", backends["lenient"], mode="observe", learn=False),
        deployment("rejecting", a, mode="reject", learn=False),
        deployment("off", a, mode="off"),
        deployment("dropping", a, error_turns="drop", error_patterns=["^Oops"], learn=False),
        deployment("never", backends["never"], learn=False),
        deployment("taught", a, chat_template=str(LENIENT)),
        *(deployment(f"proven-{name}", a, chat_template=str(LENIENT)) for name in ENDPOINTS),
        deployment("second", b, separator=" second ", learn=False),
        gone,
        *wrong,
    ]


def late_system_models(backends: dict[str, Backend]) -> list[dict[str, Any]]:
    """Give a group for each backend and each value of `late_system`, learnt from the backend."""
    return [
        deployment(f"late-{name}-{way}", backend, late_system=way, learn_wait=60.0)
        for name, backend in backends.items()
        for way in ("auto", "in_place", "front")
    ]


ROUTER = {"num_retries": 0, "fallbacks": [{"gone": ["second"]}], "disable_cooldowns": True}
