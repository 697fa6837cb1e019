"""The simulator fails as it is told."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from litellm_role_guard.simulator import create_app
from litellm_role_guard.template.chat_template import ChatTemplate
from testing.serving import serving
from testing.simulated_chat import CHAT, HELLO, RESPONSES, STRICT, chunks, metric, said


class TestFaults:
    @pytest.fixture(params=[False, True], ids=["plain", "stream"])
    def body(self, request: pytest.FixtureRequest) -> dict[str, Any]:
        """A chat request, plain and as a stream."""
        return {**HELLO, "stream": request.param}

    def test_refuse_drops_the_connection(self, client: httpx.Client, body: dict[str, Any]) -> None:
        """No byte is answered, not even by /health, while the control endpoint goes on."""
        client.post("/control", json={"fault": "refuse"}).raise_for_status()
        for path in (CHAT, RESPONSES, "/tokenize"):
            with pytest.raises(httpx.TransportError):
                client.post(path, json=body)
        with pytest.raises(httpx.TransportError):
            client.get("/health")
        assert client.get("/control").json()["fault"] == "refuse"
        client.post("/control", json={"fault": None})
        assert client.post(CHAT, json=body).status_code == 200

    def test_error_is_a_500(self, client: httpx.Client, body: dict[str, Any]) -> None:
        """An error has vLLM's JSON."""
        client.post("/control", json={"fault": "error"})
        reply = client.post(CHAT, json=body)
        assert reply.status_code == 500
        assert set(reply.json()["error"]) == {"message", "type", "param", "code"}

    def test_cut_ends_half_way(self, client: httpx.Client, body: dict[str, Any]) -> None:
        """An answer begins with a 200 and stops before its end."""
        whole = client.post(CHAT, json=body).text
        client.post("/control", json={"fault": "cut"})
        got: list[str] = []
        with client.stream("POST", CHAT, json=body) as reply:
            assert reply.status_code == 200
            with pytest.raises(httpx.RemoteProtocolError):
                got.extend(reply.iter_text(chunk_size=1))
        assert 0 < len("".join(got)) < len(whole)

    def test_empty_has_no_text(self, client: httpx.Client) -> None:
        """An empty reply is a proper answer without a text, in all forms."""
        client.post("/control", json={"fault": "empty"})
        assert said(client.post(CHAT, json=HELLO)) == ""
        streamed = chunks(client.post(CHAT, json={**HELLO, "stream": True}))
        assert not any(chunk["choices"][0]["delta"]["content"] for chunk in streamed)
        output = client.post(RESPONSES, json={"input": "hello"}).json()["output"]
        assert output[0]["content"] == []

    async def test_hang_waits_for_release(self, client: httpx.Client, body: dict[str, Any]) -> None:
        """A request hangs until the fault is taken back, and is answered then."""
        client.post("/control", json={"fault": "hang"})
        async with httpx.AsyncClient(base_url=client.base_url, timeout=20) as other:
            hanging = asyncio.create_task(other.post(CHAT, json=body))
            while not (await other.get("/control/requests")).json():
                assert not hanging.done()
            assert not hanging.done()
            await other.post("/control", json={"fault": None})
            assert (await hanging).status_code == 200

    async def test_hang_ends_with_the_client(self, client: httpx.Client) -> None:
        """A client that gives up is let go, and its request has no answer on record."""
        client.post("/control", json={"fault": "hang"})
        with pytest.raises(httpx.ReadTimeout):
            client.post(CHAT, json=HELLO, timeout=0.2)
        (received,) = client.get("/control/requests").json()
        assert (received["status"], received["fault"]) == (None, "hang")

    def test_a_fault_runs_out(self, client: httpx.Client) -> None:
        """A fault with a count meets that many requests of its paths and no more."""
        client.post("/control", json={"fault": "error", "count": 2, "paths": [CHAT]})
        statuses = [client.post("/tokenize", json=HELLO).status_code]
        statuses += [client.post(CHAT, json=HELLO).status_code for _ in range(3)]
        assert statuses == [200, 500, 500, 200]
        assert client.get("/control").json()["fault"] is None

    @pytest.mark.parametrize(
        "order", [{"fault": "melt"}, {"fault": "cut", "count": 0}, {}, {"fault": None, "x": 1}]
    )
    def test_an_unknown_order(self, client: httpx.Client, order: dict[str, Any]) -> None:
        """An order that makes no sense is refused and changes nothing."""
        client.post("/control", json={"fault": "error"})
        assert client.post("/control", json=order).status_code == 422
        assert client.get("/control").json()["fault"] == "error"

    def test_a_stream_that_is_left_is_aborted(self) -> None:
        """A client that leaves a stream ends the work on it."""
        app = create_app(ChatTemplate(STRICT), model="simulated", tokens_per_second=2)
        with serving(app) as url, httpx.Client(base_url=url, timeout=20) as client:
            with client.stream("POST", CHAT, json={**HELLO, "stream": True}) as reply:
                texts = reply.iter_text()  # dropped, it would close the connection
                next(texts)
                assert metric(client, "vllm:num_requests_running") == 1
                assert metric(client, "vllm:kv_cache_usage_perc") > 0
            running = (metric(client, "vllm:num_requests_running") for _ in range(1000))
            assert 0 in running
            aborted = 'vllm:request_success_total{engine="0",finished_reason="abort"'
            (line,) = [one for one in client.get("/metrics").text.splitlines() if aborted in one]
            assert line.endswith(" 1.0")
