"""What being seen and steered costs a clean request: metrics, record, log, `guardrails:` entry.

    python -m benchmarks.observing_time    writes its part of docs/benchmarks.md

The guard's hooks before the call and behind it, and what it does when the answer has come, run in
turns: with all of it taken out, without metrics (no `prometheus`), and with them; the rest of the
proxy is not in the way.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import litellm
from litellm.proxy._types import UserAPIKeyAuth
from litellm.types.guardrails import GuardrailEventHooks

from litellm_role_guard import RoleGuard
from litellm_role_guard.config.settings import GuardSettings
from litellm_role_guard.observability.metrics import Metrics
from litellm_role_guard.plugin.guardrail_entries import GuardrailEntry
from litellm_role_guard.plugin.observer import RequestObserver
from litellm_role_guard.plugin.reports import Reports
from litellm_role_guard.plugin.steering import NOT_STEERED, Steering
from testing.templates import TEMPLATES

from .page import BENCHMARKS, Target, machine, table, targets, write

LIMIT_SECONDS = 30e-6
ROUNDS, CALLS = 400, 50
"""How many turns each has, of so many requests. The least counts: what else runs on the machine
takes the caches, and makes each turn longer."""

CLEAN = [
    {"role": "user", "content": "hello"},
    {"role": "assistant", "content": "hi"},
    {"role": "user", "content": "are you there?"},
]
ANSWER = httpx.Response(200, json={})

WITHOUT, OFF, ON, ENTRY = "without", "metrics off", "metrics on", "metrics on, `guardrails:` entry"
WORKERS = "of several workers"
"""Added to a name where the samples are kept in files."""


class _NoObserver(RequestObserver):
    """Observes nothing: what the guard's hook takes by itself."""

    def planned(self, request: Any, plan: Any, *rest: Any) -> Any:
        """Return the plan."""
        return plan


class _NoReports(Reports):
    """Knows of no request."""

    def begin(self) -> None:
        """Begin nothing."""

    def forget(self, logging_object: Any) -> None:
        """Forget nothing."""


class _Bare(RoleGuard):
    """Repairs, and nobody sees or steers it."""

    def _set_up(self, settings: GuardSettings, path: str) -> None:
        super()._set_up(settings, path)
        self._observer = _NoObserver()
        self._reports = self._requests._reports = _NoReports()

    def _steering(self, arguments: Mapping[str, Any]) -> Steering:
        return NOT_STEERED

    async def _read_request(
        self, data: dict[str, Any], call_type: str, caller: Any
    ) -> tuple[dict[str, Any] | None, str | None]:
        return None, await self._groups.find_proxy_error(data, call_type, NOT_STEERED)


class _LoggingObject:
    """Stands for LiteLLM's."""


def _guard(
    kind: type[RoleGuard] = RoleGuard, *, metrics: bool = False, entry: bool = False
) -> RoleGuard:
    guard = kind(chat_template=str(TEMPLATES / "alternating.jinja"))
    known = Metrics(lambda: metrics)
    guard._metrics = guard._groups._metrics = known
    if entry:
        guard.entries.joined(is_listed=True)
    return guard


def _request(guard: RoleGuard) -> Callable[[], None]:
    """Return a call that is one clean request: the hooks, and the end of its answer."""
    logging_object = _LoggingObject()
    caller = UserAPIKeyAuth(api_key="sk-1", key_alias="chat", metadata={"team": "a"})
    headers = {"user-agent": "curl", "content-type": "application/json"}

    def request() -> None:
        metadata = {"user_api_key_auth": caller, "model_group": "gemma3"}
        body = {
            "model": "gemma3",
            "messages": CLEAN,
            "metadata": metadata,
            "proxy_server_request": {"headers": headers},
            "litellm_logging_obj": logging_object,
        }
        _run(guard.async_pre_call_hook(caller, None, body, "acompletion"))
        kwargs = {
            **body,
            "model": "hosted_vllm/gemma3",
            "api_base": "http://127.0.0.1:1/v1",
            "model_info": {"id": "gpu-0"},
            "metadata": {**metadata, "deployment_model_name": "gemma3"},
        }
        sent = _run(guard.async_pre_call_deployment_hook(kwargs, "acompletion"))
        for part in sent["client"]._parts:
            part.on_end(ANSWER)
        _run(guard.async_post_call_response_headers_hook(body, caller, None))

    return request


def _run(hook: Coroutine[Any, Any, Any]) -> Any:
    """Run a hook that has nothing to wait for, so that its first step is its last."""
    try:
        hook.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waits")


def measure() -> dict[str, float]:
    """Return the processor time of each kind of request, in seconds."""
    litellm.callbacks = [
        GuardrailEntry(
            guardrail_name="role-guard", event_hook=GuardrailEventHooks.pre_call, default_on=True
        )
    ]
    guards = {
        WITHOUT: _guard(_Bare),
        OFF: _guard(),
        ON: _guard(metrics=True),
        ENTRY: _guard(metrics=True, entry=True),
    }
    calls = {name: _request(guard) for name, guard in guards.items()}
    least = dict.fromkeys(calls, float("inf"))
    for _ in range(ROUNDS):
        for name, call in calls.items():
            start = time.thread_time()
            for _ in range(CALLS):
                call()
            least[name] = min(least[name], (time.thread_time() - start) / CALLS)
    return least


def of_several_workers() -> dict[str, float]:
    """Return the same where the samples are kept in files, which a process decides on once."""
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.observing_time", "--json"]
        environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": folder}
        done = subprocess.run(command, env=environment, capture_output=True, check=True)
    times: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return times


def report(alone: dict[str, float], workers: dict[str, float]) -> str:
    """Return the section: targets, then all times."""
    worst = max(times[ENTRY] - times[WITHOUT] for times in (alone, workers))
    rows = [
        [name, *(_microseconds(times[name]) for times in (alone, workers))]
        + [_microseconds(times[name] - times[WITHOUT]) for times in (alone, workers)]
        for name in alone
    ]
    target = Target(
        "metrics, record, log, steering and a `guardrails:` entry, of a clean request",
        "under 30 µs",
        _microseconds(worst),
        worst < LIMIT_SECONDS,
    )
    head = ("", "one worker", WORKERS, "more than without", f"{WORKERS}, more than without")
    measured = machine("litellm", "prometheus-client")
    return f"{targets([target])}\n\n{table(head, rows)}\n\n{measured}"


def _microseconds(seconds: float) -> str:
    return f"{seconds * 1e6:.1f} µs"


def main() -> None:
    """Measure, print, and put the figures into docs/benchmarks.md."""
    if "--json" in sys.argv:
        print(json.dumps(measure()))
        return
    text = report(measure(), of_several_workers())
    print(text)
    write("observing_time", text, BENCHMARKS)


if __name__ == "__main__":
    main()
