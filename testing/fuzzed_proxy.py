"""LiteLLM's own proxy app in this process, with the guard for one of two groups.

Both groups go to the same backend. What the guard makes of a request is seen beside what LiteLLM
alone makes of it.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import httpx
import litellm
import yaml

from litellm_role_guard import ChatTemplate, RoleGuard
from litellm_role_guard.simulator import create_app

from .fuzzed_bodies import as_json
from .proxied import ENDPOINTS
from .proxies import MASTER_KEY
from .serving import serving
from .templates import STRICT

GUARDED, BARE = "guarded", "bare"


class Verdict(NamedTuple):
    """What became of a body without the guard and with it.

    Attributes:
        bare: The status without.
        guarded: The status with.
        reason: What the guard's 400 says; empty where it gave none.
    """

    bare: int
    guarded: int
    reason: str

    @property
    def is_worse(self) -> bool:
        """Whether the guard has broken a request: an error that it does not explain."""
        if self.guarded == 400 and self.reason:
            return False
        return self.guarded > self.bare and self.guarded >= 400


class FuzzedProxy:
    """Sends each body twice.

    Args:
        client: A client of the proxy's.
        guard: Its guard.
    """

    def __init__(self, client: httpx.AsyncClient, guard: RoleGuard) -> None:
        self._client = client
        self.guard = guard
        self.verdicts: Counter[tuple[str, Verdict]] = Counter()

    async def judge(self, endpoint: str, body: dict[str, Any]) -> Verdict:
        """Send a body to both groups; return what became of it."""
        bare = await self.post(endpoint, {**body, "model": BARE})
        guarded = await self.post(endpoint, {**body, "model": GUARDED})
        _, _, said = guarded.text.partition("role guard: ")
        verdict = Verdict(bare.status_code, guarded.status_code, said.split(";")[0][:120])
        self.verdicts[endpoint, verdict._replace(reason=_kind(verdict.reason))] += 1
        return verdict

    async def post(self, endpoint: str, body: dict[str, Any]) -> httpx.Response:
        """Send a body with its model; return the answer."""
        headers = {"Content-Type": "application/json"}
        return await self._client.post(ENDPOINTS[endpoint], content=as_json(body), headers=headers)


def _kind(reason: str) -> str:
    """Return a reason without the place it names."""
    return reason.partition(": ")[2] or reason


@asynccontextmanager
async def fuzzed_proxy(folder: Path, template: Path = STRICT) -> AsyncIterator[FuzzedProxy]:
    """Run the proxy's app in front of a simulated backend.

    Args:
        folder: Where to put its config.
        template: The backend's chat template.
    """
    from litellm.proxy import proxy_server

    with serving(create_app(ChatTemplate.from_path(template), model="m")) as url:
        params = {"model": "hosted_vllm/m", "api_base": f"{url}/v1", "api_key": "none"}
        config = {
            "model_list": [
                {"model_name": name, "litellm_params": params} for name in (GUARDED, BARE)
            ],
            "general_settings": {"master_key": MASTER_KEY},
            "router_settings": {"num_retries": 0, "allowed_fails": 10**9},
        }
        path = folder / "config.yaml"
        path.write_text(yaml.safe_dump(config))
        before = {module: _state(module) for module in (litellm, proxy_server)}
        guard = RoleGuard(learn=False, model_groups=[GUARDED])
        os.environ["CONFIG_FILE_PATH"] = str(path)
        try:
            await proxy_server.initialize(config=str(path))  # type: ignore[no-untyped-call]
            litellm.callbacks = [*litellm.callbacks, guard]
            logging.getLogger("LiteLLM Proxy").setLevel(logging.CRITICAL)
            transport = httpx.ASGITransport(proxy_server.app, raise_app_exceptions=False)
            headers = {"Authorization": f"Bearer {MASTER_KEY}"}
            async with httpx.AsyncClient(
                transport=transport, base_url="http://proxy", headers=headers, timeout=60
            ) as client:
                yield FuzzedProxy(client, guard)
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
