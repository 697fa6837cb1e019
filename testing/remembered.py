"""People who chat on /v1/responses by `previous_response_id`, through a proxy that remembers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from .processes import free_port, simulator
from .proxied import CLIENT, ENDPOINTS, STRICT, Backend, deployment
from .proxies import start_proxy

MINE, YOURS = "sk-mine", "sk-yours"


@dataclass
class Answer:
    """An answer of /v1/responses, streamed or not."""

    http: httpx.Response

    @property
    def body(self) -> dict[str, Any]:
        """Give the response object, or what is in its place."""
        if "text/event-stream" not in self.http.headers["content-type"]:
            whole: dict[str, Any] = self.http.json()
            return whole
        for line in self.http.text.splitlines():
            if line.startswith("data: {"):
                event = json.loads(line.removeprefix("data: "))
                if event["type"] == "response.completed":
                    response: dict[str, Any] = event["response"]
                    return response
        raise AssertionError(self.http.text)

    @property
    def id(self) -> str:
        """Give the response's id, as the client knows it."""
        assert self.http.status_code == 200, self.http.text
        name: str = self.body["id"]
        return name

    @property
    def text(self) -> str:
        """Give what was said."""
        assert self.http.status_code == 200, self.http.text
        said: str = self.body["output"][0]["content"][0]["text"]
        return said


@dataclass
class Chats:
    """A proxy and its two backends."""

    url: str
    backends: list[Backend]

    def post(
        self, body: dict[str, Any], endpoint: str = "responses", key: str = MINE
    ) -> httpx.Response:
        """Post a body to an endpoint with somebody's key."""
        headers = {"Authorization": f"Bearer {key}"}
        return CLIENT.post(self.url + ENDPOINTS[endpoint], json=body, headers=headers)

    def say(
        self,
        text: Any,
        after: str | None = None,
        group: str = "chat",
        key: str = MINE,
        **fields: Any,
    ) -> Answer:
        """Send a new message alone, and the id of the response that it follows."""
        body = {"model": group, "input": text, **fields}
        if after is not None:
            body["previous_response_id"] = after
        return Answer(self.post(body, key=key))

    def ask(self, method: str, name: str, path: str = "", key: str = MINE) -> httpx.Response:
        """Read or delete a response with somebody's key."""
        url = f"{self.url}{ENDPOINTS['responses']}/{name}{path}"
        return CLIENT.request(method, url, headers={"Authorization": f"Bearer {key}"})

    def calls(self) -> list[dict[str, Any]]:
        """Give what reached the backends since the test began; the order holds for each alone."""
        return [call for backend in self.backends for call in backend.calls()]

    def forget(self) -> None:
        """Forget what was received, and end all faults."""
        for backend in self.backends:
            CLIENT.post(f"{backend.url}/control", json={"fault": None}).raise_for_status()
            backend.forget()


def remembering_config(backends: list[Backend]) -> dict[str, Any]:
    """Give the config of a proxy with the groups that the tests ask for."""

    def both(group: str, **settings: Any) -> list[dict[str, Any]]:
        return [deployment(group, backend, learn=False, **settings) for backend in backends]

    dead = Backend(f"http://127.0.0.1:{free_port()}")
    gone = both("gone")[:1]
    gone[0]["litellm_params"]["api_base"] = f"{dead.url}/v1"
    lost = both("lost", mode="off")
    misnamed = both("misnamed")[:1]
    misnamed[0]["litellm_params"]["model"] = "hosted_vllm/nobody"
    return {
        "model_list": [
            *both("chat"),
            *both("informed", chat_template=str(STRICT)),
            *both("forgetful", remember_responses=False),
            *both("observed", mode="observe"),
            *both("off", mode="off"),
            *both("routed", routing="prefix_affinity"),
            *gone,
            *lost,
            *misnamed,
            *both("second", separator=" second "),
        ],
        "general_settings": {
            "custom_auth": "two_people.user_api_key_auth",
            # LiteLLM's own: it would refuse another's id before the guard is asked.
            "disable_responses_id_security": True,
        },
        "litellm_settings": {"callbacks": ["litellm_role_guard.role_guard"]},
        "router_settings": {
            "num_retries": 0,
            "fallbacks": [{"gone": ["second"]}, {"lost": ["second"]}],
        },
    }


@contextmanager
def chatting(folder: Path) -> Iterator[Chats]:
    """Run two strict backends, which speak slowly, and a proxy that takes bad ones out."""
    slow = {"tokens-per-second": "200"}
    with ExitStack() as stack:
        urls = [stack.enter_context(simulator(folder, STRICT, **slow)) for _ in range(2)]
        backends = [Backend(url) for url in urls]
        url = stack.enter_context(start_proxy(remembering_config(backends), folder))
        yield Chats(url, backends)
