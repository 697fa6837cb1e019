"""What backends say of their load is read, asked for politely, and believed while it is new."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from litellm_role_guard import ChatTemplate
from litellm_role_guard.backend.backend import Backend
from litellm_role_guard.routing import backend_load
from litellm_role_guard.routing.backend_load import BackendLoads, requests_of
from litellm_role_guard.routing.in_flight import InFlight
from litellm_role_guard.simulator import create_app

KEY = "http://gpu:8000/v1 m"


def told(*, running: float = 0, waiting: float = 0, model: str = "m", engine: int = 0) -> str:
    """Give what a vLLM says of one engine, among other things."""
    labels = f'{{engine="{engine}",model_name="{model}"}}'
    return (
        "# HELP vllm:num_requests_running Number of requests in model execution batches.\n"
        "# TYPE vllm:num_requests_running gauge\n"
        f"vllm:num_requests_running{labels} {running}\n"
        f"vllm:num_requests_waiting{labels} {waiting}\n"
        f'vllm:num_requests_waiting_by_reason{{reason="capacity",model_name="{model}"}} 7.0\n'
        f"vllm:prefix_cache_queries_total{labels} 1.0e+06\n"
    )


class TestReading:
    def test_running_and_waiting_requests_count(self) -> None:
        """Of all engines of one server."""
        both = told(running=3, waiting=2) + told(running=1, engine=1)
        assert requests_of(both, "m") == 6

    def test_a_server_is_read_whatever_it_is_called(self) -> None:
        """A second served name, or an adapter's, is counted under the server's first one."""
        assert requests_of(told(running=3, model="base"), "adapter") == 3

    def test_of_several_models_one_counts(self) -> None:
        """Behind a gateway there may be more than one; what is not there is not told."""
        both = told(running=3, model="a") + told(running=5, model="b")
        assert requests_of(both, "b") == 5
        assert requests_of(both, "c") is None

    def test_a_strange_name_is_read(self) -> None:
        """Names may hold what ends a label elsewhere."""
        assert requests_of(told(running=3, model='a}\\"b') + told(running=1), 'a}"b') == 3

    @pytest.mark.parametrize(
        "text",
        ["", "<html>", "vllm:num_requests_running NaN", "vllm:num_requests_running x", "# vllm:"],
    )
    def test_what_tells_nothing_is_none(self, text: str) -> None:
        """Another server's metrics, a page, or a value that is no number."""
        assert requests_of(text, "m") is None

    def test_a_label_ends_with_its_line(self) -> None:
        """What one line leaves open does not swallow the next, or each would be read to the end."""
        open_line = 'vllm:num_requests_running{model_name="m'
        told = 'vllm:num_requests_running{model_name="m"} 3'
        assert requests_of(f"{open_line}\n{told}", "m") == 3

    @given(st.text(max_size=300))
    def test_any_text_can_be_read(self, text: str) -> None:
        """Whatever is there, it is a count or nothing, and nothing where no metric stands."""
        plain = requests_of(text, "m")
        labelled = requests_of(f"vllm:num_requests_running{{{text}}} {text}", "m")
        assert plain is None or "vllm:num_requests_" in text
        assert all(count is None or count >= 0 for count in (plain, labelled))


class TestLoad:
    def test_what_others_have_there_is_added(self) -> None:
        """It stays the same while this process's own requests come and go."""
        flying = InFlight()
        flight = flying.begin(KEY, self)
        flying.report(KEY, 5)
        assert flying.load(KEY) == 6
        flight.end()
        assert flying.load(KEY) == 5
        flying.report(KEY, -1)
        assert flying.load(KEY) == 0
        assert flying.counts == {}


@asynccontextmanager
async def asking(
    answer: Callable[[httpx.Request], httpx.Response],
) -> AsyncIterator[Callable[[], Backend]]:
    """Give how a backend is asked that is answered without a network."""
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        handler = SimpleNamespace(client=client)
        backend = Backend("gpu", "http://gpu:8000/v1", "m", "key", {"x-a": "b"}, handler=handler)
        yield lambda: backend
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()


async def until(holds: Callable[[], bool]) -> None:
    """Let others do their work until something holds."""
    for _ in range(1000):
        if holds():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never holds")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, skipped_waits: None) -> None:
    """Ask a hundred times as often, on a clock that jumps over the waits."""
    monkeypatch.setattr(backend_load, "INTERVAL_SECONDS", 0.02)
    monkeypatch.setattr(backend_load, "LINGER_SECONDS", 0.1)


async def test_a_backend_is_asked_at_its_root_with_its_key() -> None:
    """As a request to it would be; once, however many requests there are."""
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        plain = {"Content-Encoding": "identity"}
        return httpx.Response(200, text=told(running=3, waiting=1), headers=plain)

    flying = InFlight()
    loads = BackendLoads(flying)
    own = flying.begin(KEY, flying)
    async with asking(answer) as backend:
        for _ in range(50):
            loads.watch(KEY, backend)
        await until(lambda: flying.load(KEY) == 4)
        assert len(asked) == 1
    assert str(asked[0].url) == "http://gpu:8000/metrics"
    assert asked[0].headers["authorization"] == "Bearer key"
    assert asked[0].headers["x-a"] == "b"
    assert asked[0].headers["accept-encoding"] == "identity"
    own.end()


@pytest.mark.usefixtures("quick")
async def test_it_is_asked_while_there_is_traffic() -> None:
    """Again and again, and when the traffic has ended nothing that it said is believed."""
    asked = 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal asked
        asked += 1
        return httpx.Response(200, text=told(running=asked))

    flying = InFlight()
    loads = BackendLoads(flying)
    async with asking(answer) as backend:
        loads.watch(KEY, backend)
        await until(lambda: flying.load(KEY) == 2)
        loads.watch(KEY, backend)
        await until(lambda: flying.load(KEY) == 0)
        before = asked
        await asyncio.sleep(0.1)
        assert asked == before
        loads.watch(KEY, backend)
        await until(lambda: asked > before)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "failure",
    [
        httpx.Response(404),
        httpx.Response(401),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, text=told(running=3), headers={"Content-Encoding": "unknown"}),
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("late"),
    ],
    ids=["404", "401", "page", "packed", "gone", "hung"],
)
async def test_a_backend_that_does_not_tell_is_left_in_peace(
    failure: httpx.Response | Exception,
) -> None:
    """For longer each time, and what it said before is forgotten."""
    asked = 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal asked
        asked += 1
        if asked == 1:
            return httpx.Response(200, text=told(running=9))
        if isinstance(failure, Exception):
            raise failure
        return failure

    flying = InFlight()
    loads = BackendLoads(flying)
    async with asking(answer) as backend:
        loads.watch(KEY, backend)
        await until(lambda: flying.load(KEY) == 9)
        await until(lambda: flying.load(KEY) == 0)
        for _ in range(60):
            loads.watch(KEY, backend)
            await asyncio.sleep(0.005)
    assert 2 < asked < 9  # after 0.02, 0.04, 0.08, ... s; without pauses it would be 60


@pytest.mark.usefixtures("quick")
async def test_an_answer_without_end_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does it matter that some of it comes again and again."""
    monkeypatch.setattr(backend_load, "TIMEOUT_SECONDS", 0.05)
    ended = asyncio.Event()

    async def drips() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"#"
                await asyncio.sleep(0.002)
        finally:
            ended.set()

    flying = InFlight()
    async with asking(lambda _: httpx.Response(200, content=drips())) as backend:
        BackendLoads(flying).watch(KEY, backend)
        await asyncio.wait_for(ended.wait(), 2)
    assert flying.load(KEY) == 0


@pytest.mark.usefixtures("quick")
async def test_no_more_of_an_answer_is_read_than_a_vllm_has_to_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is longer is no answer, whatever stands in it."""
    monkeypatch.setattr(backend_load, "MAX_BYTES", 10_000)
    sent = 0

    async def floods() -> AsyncIterator[bytes]:
        nonlocal sent
        yield told(running=9).encode()
        while True:
            sent += 1000
            yield b"#" * 999 + b"\n"
            await asyncio.sleep(0)

    flying = InFlight()
    async with asking(lambda _: httpx.Response(200, content=floods())) as backend:
        BackendLoads(flying).watch(KEY, backend)
        await until(lambda: sent >= 9000)
        await asyncio.sleep(0.05)
    assert sent <= 11_000
    assert flying.load(KEY) == 0


@pytest.mark.parametrize("fails", [False, True])
async def test_a_backend_that_nobody_can_ask_is_not_asked(fails: bool) -> None:
    """One without an address, say, or with a LiteLLM that tells otherwise how it is asked."""
    tried = 0

    def backend() -> Backend | None:
        nonlocal tried
        tried += 1
        if fails:
            raise AttributeError("another LiteLLM")
        return None

    flying = InFlight()
    loads = BackendLoads(flying)
    for _ in range(3):
        loads.watch(KEY, backend)
    assert flying.load(KEY) == 0
    assert tried == 1
    assert len(asyncio.all_tasks()) == 1


async def test_the_simulator_is_read() -> None:
    """What a simulated vLLM gives is what a real one gives."""
    app = create_app(ChatTemplate("{{ messages }}"), model="m")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
        exposition = (await client.get("http://vllm/metrics")).text
    assert requests_of(exposition, "m") == 0
