"""LiteLLM's own proxy app in this process, with the guard for all groups but one.

All groups go to the same backend. What the guard makes of a request is seen beside what LiteLLM
alone makes of it.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import httpx
import litellm
import yaml

from litellm_role_guard import RoleGuard
from litellm_role_guard.config.settings import KEY

from .fuzzed_bodies import MARKERS, as_json
from .proxied import ENDPOINTS
from .proxies import MASTER_KEY
from .templates import STRICT

MODEL = "m"

GUARDED, BARE = "guarded", "bare"
ESCAPING, REJECTING = "escape", "reject"
"""Guarded groups with this as their `control_tokens`, and the strict template."""

GROUPS = (BARE, GUARDED, ESCAPING, REJECTING)

PICTURE = "is not a multimodal model"
"""How the backend refuses a picture, which LiteLLM may have left out."""

NOTHING_SAID = ("empty", "no message has any text", "missing")

EXPLAINED = {
    "chat": (*NOTHING_SAID, "has no role", "role must be", "content must be"),
    "messages": (*NOTHING_SAID, "unknown role", "must be", "has no", PICTURE),
    "responses": (*NOTHING_SAID, "must be", "has no"),
    "gemini": (*NOTHING_SAID, "unknown role", "must be", PICTURE),
}
"""Words of the reasons for which a body may become a 400 that was answered without the guard, by
endpoint: LiteLLM leaves out what is at fault, and the model answers without having read it."""

MARKED = ("holds a marker", "too large to be searched")
"""The same for the groups that break or refuse markers, on all endpoints."""


class Verdict(NamedTuple):
    """What became of a body without the guard and with it.

    Attributes:
        group: The guarded group.
        endpoint: Where it was sent.
        bare: The status without.
        guarded: The status with.
        reason: What the guard's 400 says, or the backend's about a picture; empty for no such.
        forged: Markers of turns that reached the backend of a group that breaks or refuses them.
    """

    group: str
    endpoint: str
    bare: int
    guarded: int
    reason: str
    forged: tuple[str, ...] = ()

    @property
    def is_worse(self) -> bool:
        """Whether the guard has broken a request, or has let a marker by."""
        if self.forged:
            return True
        if self.guarded == 400 and self.reason:
            return self.bare < 400 and not self._is_right
        # A 400 about a foreign item may hide a `previous_response_id` that vLLM does not know.
        is_other_fault = (self.bare, self.guarded) == (400, 404)
        return self.guarded > self.bare and self.guarded >= 400 and not is_other_fault

    @property
    def _is_right(self) -> bool:
        words = EXPLAINED.get(self.endpoint, ()) + (MARKED if self.group != GUARDED else ())
        return any(map(self.reason.__contains__, words))


class FuzzedProxy:
    """Sends each body to every group.

    Args:
        client: A client of the proxy's.
        guard: Its guard.
        backend: A client of the simulated backend's.
    """

    def __init__(
        self, client: httpx.AsyncClient, guard: RoleGuard, backend: httpx.AsyncClient
    ) -> None:
        self._client = client
        self._backend = backend
        self.guard = guard
        self.verdicts: Counter[Verdict] = Counter()

    async def judge(self, endpoint: str, body: dict[str, Any]) -> list[Verdict]:
        """Send a body to all groups; return what became of it in each that is guarded."""
        bare = await self.post(endpoint, {**body, "model": BARE})
        verdicts = []
        for group in (GUARDED, ESCAPING, REJECTING):
            answer = await self.post(endpoint, {**body, "model": group})
            _, _, said = answer.text.partition("role guard: ")
            forged: tuple[str, ...] = ()
            if group != GUARDED and answer.status_code == 200:
                forged = await self._forged()
            reason = said.split(";")[0][:120] or PICTURE * (PICTURE in answer.text)
            verdict = Verdict(group, endpoint, bare.status_code, answer.status_code, reason, forged)
            verdicts.append(verdict)
            self.verdicts[verdict._replace(reason=_kind(reason))] += 1
        return verdicts

    async def post(self, endpoint: str, body: dict[str, Any]) -> httpx.Response:
        """Send a body with its model; return the answer."""
        headers = {"Content-Type": "application/json"}
        path = ENDPOINTS.get(endpoint) or f"/v1beta/models/{body['model']}:generateContent"
        return await self._client.post(path, content=as_json(body), headers=headers)

    async def _forged(self) -> tuple[str, ...]:
        """Return the markers that stand in what the backend has got last."""
        kept = await self._backend.get("/control/requests?last=1")
        texts = "\n".join(_texts(kept.json()[-1]["body"]))
        return tuple(filter(texts.__contains__, MARKERS))


def _texts(value: Any, *, is_json: bool = False) -> Iterator[str]:
    """Yield all texts of JSON data, names of fields among them, and those in calls' arguments."""
    if isinstance(value, str):
        yield value
        with suppress(ValueError):
            yield from _texts(json.loads(value)) if is_json else ()
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, dict):
        yield from value
        for key, each in value.items():
            yield from _texts(each, is_json=key == "arguments")


def _kind(reason: str) -> str:
    """Return a reason without the place it names, and without what stands there."""
    reason = reason.partition(": ")[2] or reason
    return _SHOWN.sub("", _PLACE.sub("", reason))


_PLACE = re.compile(r"^[a-z_]+(\[\d+\])?(?=( \w+)? must be| has no| of type)")

_SHOWN = re.compile(r", not .*| of another type .*| '.*")


@asynccontextmanager
async def fuzzed_proxy(folder: Path, url: str) -> AsyncIterator[FuzzedProxy]:
    """Run the proxy's app in front of a simulated backend.

    Args:
        folder: Where to put its config.
        url: The backend's address. It serves the model `MODEL`.
    """
    from litellm.proxy import proxy_server

    params = {"model": f"hosted_vllm/{MODEL}", "api_base": f"{url}/v1", "api_key": "none"}
    own: dict[str, dict[str, Any]] = {
        group: {KEY: {"control_tokens": group, "chat_template": str(STRICT)}}
        for group in (ESCAPING, REJECTING)
    }
    config = {
        "model_list": [
            {"model_name": name, "litellm_params": params, "model_info": own.get(name, {})}
            for name in GROUPS
        ],
        "general_settings": {"master_key": MASTER_KEY},
        "router_settings": {"num_retries": 0, "allowed_fails": 10**9},
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    before = {module: _state(module) for module in (litellm, proxy_server)}
    guard = RoleGuard(learn=False, model_groups=[GUARDED, ESCAPING, REJECTING])
    os.environ["CONFIG_FILE_PATH"] = str(path)
    try:
        await proxy_server.initialize(config=str(path))  # type: ignore[no-untyped-call]
        litellm.callbacks = [*litellm.callbacks, guard]
        logging.getLogger("LiteLLM Proxy").setLevel(logging.CRITICAL)
        transport = httpx.ASGITransport(proxy_server.app, raise_app_exceptions=False)
        headers = {"Authorization": f"Bearer {MASTER_KEY}"}
        async with (
            httpx.AsyncClient(base_url=url) as backend,
            httpx.AsyncClient(
                transport=transport, base_url="http://proxy", headers=headers, timeout=60
            ) as client,
        ):
            yield FuzzedProxy(client, guard, backend)
    finally:
        for module, state in before.items():
            vars(module).update(state)
        del os.environ["CONFIG_FILE_PATH"]


def _state(module: ModuleType) -> dict[str, Any]:
    """Give the global variables of a module, to be put back: other tests know no proxy."""
    return {
        name: list(value) if isinstance(value, list) else value
        for name, value in vars(module).items()
        if not name.startswith("__")
    }
