"""The plugin's hook that weighs a group's deployments."""

from __future__ import annotations

import asyncio
import gc
from contextlib import ExitStack, suppress
from typing import Any

import litellm
import pytest
from litellm.router import Router

from litellm_role_guard import ChatTemplate, RoleGuard
from litellm_role_guard.config.settings import SettingsError
from litellm_role_guard.observability.report import Report
from litellm_role_guard.routing.affinity import PrefixAffinity
from litellm_role_guard.simulator import create_app
from testing.conversations import user
from testing.routed import LONG, deployment
from testing.serving import serving

LEAVING = 40


class TestGuard:
    """The plugin's hook."""

    async def filtered(self, guard: RoleGuard, deployments: list[Any]) -> list[Any]:
        """Give what LiteLLM gets back."""
        return await guard.async_filter_deployments("gemma3", deployments, [user(LONG)], {})

    async def test_without_the_setting_nothing_happens(self) -> None:
        """It is off by default: LiteLLM gets back the very list that it gave."""
        deployments = [deployment(at) for at in range(3)]
        assert await self.filtered(RoleGuard(), deployments) is deployments

    async def test_a_group_is_routed_where_all_of_it_is(self) -> None:
        """One deployment that is set to `off`, or is not guarded, leaves the group to LiteLLM."""
        guard = RoleGuard(routing="prefix_affinity")
        deployments = [deployment(at) for at in range(3)]
        assert await self.filtered(guard, deployments) is not deployments
        deployments[1]["model_info"]["role_guard"] = {"routing": "off"}
        assert await self.filtered(guard, deployments) is deployments
        other = [deployment(0), deployment(1, model="openai/gpt-5")]
        assert await self.filtered(guard, other) is other

    async def test_it_can_be_set_for_one_group(self) -> None:
        """A deployment's own setting wins over the global one."""
        deployments = [deployment(at) for at in range(3)]
        for each in deployments:
            each["model_info"]["role_guard"] = {"routing": "prefix_affinity"}
        weighed = await self.filtered(RoleGuard(), deployments)
        assert {"weight"} <= weighed[0]["litellm_params"].keys()

    async def test_an_error_leaves_the_list_as_it_is(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It is counted and logged, without the client's words."""

        def fail(*args: object) -> None:
            raise RuntimeError(LONG)

        guard = RoleGuard(routing="prefix_affinity")
        monkeypatch.setattr(PrefixAffinity, "ranked", fail)
        deployments = [deployment(at) for at in range(3)]
        assert await self.filtered(guard, deployments) is deployments
        assert guard.counts["failed"] == 1
        assert "RuntimeError" in caplog.text
        assert LONG not in caplog.text

    def test_yaml_reads_off_as_false(self) -> None:
        """A bare `routing: off` in config.yaml is meant as it looks."""
        assert RoleGuard(routing=False).settings.routing == "off"

    def test_another_word_is_refused(self) -> None:
        """The message names the setting and what it may be."""
        with pytest.raises(SettingsError, match=r"routing: must be 'prefix_affinity' or 'off'"):
            RoleGuard(routing="random")

    async def test_a_router_without_a_proxy_routes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """In Python, `Router.acompletion` keeps conversations together as the proxy does."""
        guard = RoleGuard(routing="prefix_affinity", learn=False)
        monkeypatch.setattr(litellm, "callbacks", [guard])
        app = create_app(ChatTemplate("{{ messages[0].content }}"), model="m")
        with ExitStack() as stack:
            urls = [stack.enter_context(serving(app)) for _ in range(3)]
            router = Router([_group_of(url) for url in urls])
            homes = set()
            for text in "abcdefgh":
                talk: list[Any] = [user(text + LONG)]
                replies = [
                    await router.acompletion("g", messages=talk, max_tokens=1) for _ in range(4)
                ]
                used = {reply._hidden_params["api_base"] for reply in replies}
                assert len(used) == 1
                homes |= used
        assert len(homes) > 1
        assert guard._affinity.in_flight.counts == {}


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_is_not_counted_on(
    monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    """Whenever it leaves, and although the cycles that it leaves behind are not collected yet."""
    guard = RoleGuard(routing="prefix_affinity", learn_wait=5)
    monkeypatch.setattr(litellm, "callbacks", [guard])
    app = create_app(ChatTemplate("{{ messages[0].content }}"), model="m", latency=0.05)
    gc.collect()
    gc.disable()
    try:
        with ExitStack() as stack:
            urls = [stack.enter_context(serving(app)) for _ in range(2)]
            router = Router([_group_of(url) for url in urls])

            talk: list[Any] = [user(LONG)]

            async def ask(patience: float) -> None:
                asked = router.acompletion("g", talk, stream=stream)
                with suppress(asyncio.TimeoutError):
                    answer: Any = await asyncio.wait_for(asked, patience)
                    if stream:
                        await anext(answer)  # and no more of it

            await asyncio.gather(*(ask(at / 100) for at in range(LEAVING)))
            await asyncio.sleep(0.1)
            assert guard._affinity.in_flight.counts == {}
    finally:
        gc.enable()


def _group_of(url: str) -> Any:
    params = {"model": "hosted_vllm/m", "api_base": f"{url}/v1", "api_key": "none"}
    return {"model_name": "g", "litellm_params": params}


def test_the_header_tells_where_a_request_went_and_the_log_does_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A line for each request would say nothing."""
    report = Report("group", "deployment")
    report.routed = "home"
    with caplog.at_level("INFO", logger="litellm_role_guard"):
        report.log()
    assert report.header() == "routed=home"
    assert caplog.text == ""
