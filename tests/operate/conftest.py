"""A proxy with all that LiteLLM offers to those who run it, and without a database."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from testing.collector import collecting
from testing.processes import proxy, simulator
from testing.proxied import LENIENT, STRICT, Backend, Proxy, deployment
from testing.proxies import write_config
from testing.watched import PASSWORD, Operated

ENTRY = {"guardrail": "litellm_role_guard.RoleGuardrail", "mode": "pre_call"}


@pytest.fixture(scope="module")
def operated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operated]:
    """Run a proxy with the guard under `callbacks` and under `guardrails` at once."""
    folder = tmp_path_factory.mktemp("operated")
    with ExitStack() as stack:
        backend = Backend(stack.enter_context(simulator(folder, STRICT)))
        collector = stack.enter_context(collecting())
        shutil.copy(Path(__file__).with_name("auth.py"), folder)
        with_password = deployment("secretive", backend, chat_template=str(STRICT))
        with_password["litellm_params"]["api_base"] = (
            backend.url.replace("http://", f"http://somebody:{PASSWORD}@") + "/v1"
        )
        config = {
            "model_list": [
                deployment("strict", backend, chat_template=str(STRICT)),
                deployment("taught", backend, chat_template=str(LENIENT)),
                deployment("observed", backend, mode="observe", chat_template=str(STRICT)),
                deployment("rejecting", backend, mode="reject", chat_template=str(STRICT)),
                with_password,
                {
                    **deployment("hosted_vllm/*", backend, chat_template=str(STRICT)),
                    "litellm_params": {
                        "model": "hosted_vllm/*",
                        "api_base": f"{backend.url}/v1",
                        "api_key": "none",
                    },
                },
            ],
            "litellm_settings": {
                "callbacks": ["litellm_role_guard.role_guard", "prometheus", "otel"]
            },
            "general_settings": {"custom_auth": "auth.user_api_key_auth"},
            "router_settings": {"num_retries": 0, "disable_cooldowns": True},
            "guardrails": [
                {"guardrail_name": "role-guard", "litellm_params": {**ENTRY, "default_on": True}},
                {"guardrail_name": "on-demand", "litellm_params": {**ENTRY, "default_on": False}},
            ],
        }
        environment = {
            "OTEL_EXPORTER": "otlp_http",
            "OTEL_ENDPOINT": collector.url,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }
        path = write_config(config, folder)
        url = stack.enter_context(proxy(path, folder / "proxy.log", environment))
        yield Operated(Proxy(url), backend, collector, folder)
