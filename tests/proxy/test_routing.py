"""Prefix affinity in a real proxy: where conversations go, and what LiteLLM has to say to it."""

from __future__ import annotations

import json
import math
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from litellm_role_guard.routing.prefix import LOAD_BOUND, OPENING_CHARS, ROOM
from testing.conversations import assistant, user
from testing.processes import REPOSITORY, free_port, simulator
from testing.processes import proxy as start
from testing.proxied import CLIENT, ENDPOINTS, STRICT, Backend, Proxy, answered, body_of
from testing.proxies import MASTER_KEY, start_proxy

LONG = " and so on" * (OPENING_CHARS // 10 + 1)
SIZE = 3
SETTLED_SECONDS = 20.0


@dataclass
class Fleet:
    """A proxy with prefix affinity, and its backends."""

    proxy: Proxy
    backends: list[Backend]

    def ask(self, endpoint: str, group: str, text: str, **fields: Any) -> httpx.Response:
        """Ask for a short answer to one message."""
        limit = "max_output_tokens" if endpoint == "responses" else "max_tokens"
        return self.proxy.ask(endpoint, group, [user(text)], **{limit: 2, **fields})

    def readers(self) -> list[int]:
        """Give the positions of the backends that got the requests since `forget`, in order."""
        return [at for at, backend in enumerate(self.backends) for _ in backend.calls()]

    def forget(self) -> None:
        """Forget what was received, and end all faults."""
        for backend in self.backends:
            CLIENT.post(f"{backend.url}/control", json={"fault": None}).raise_for_status()
            backend.forget()

    def fail(self, at: int, fault: str, **fields: Any) -> None:
        """Make a backend fail."""
        body = {"fault": fault, "paths": list(ENDPOINTS.values()), **fields}
        CLIENT.post(f"{self.backends[at].url}/control", json=body).raise_for_status()

    def home(self, text: str, endpoint: str = "chat") -> int:
        """Give the backend that answers a conversation which begins with a text."""
        self.forget()
        assert answered(self.ask(endpoint, "fleet", text))
        (reader,) = self.readers()
        return reader

    def in_flight(self) -> dict[str, int]:
        """Give what the proxy counts in flight, once that is nothing, or after a while."""
        deadline = time.monotonic() + SETTLED_SECONDS
        while True:
            body = body_of("chat", "plain", [user("hello")]) | {"max_tokens": 1}
            headers = self.proxy.post("chat", body, headers={"x-flights": "1"}).headers
            counts: dict[str, int] = json.loads(headers["x-in-flight"])
            if not counts or time.monotonic() > deadline:
                return counts
            time.sleep(0.1)  # what was let go of is collected when it is


def fleet_config(backends: list[Backend]) -> dict[str, Any]:
    """Give the config of a proxy with the groups that the tests ask for."""

    def group(name: str, **settings: Any) -> list[dict[str, Any]]:
        return [
            {
                "model_name": name,
                "litellm_params": {
                    "model": f"hosted_vllm/{backend.model}",
                    "api_base": f"{backend.url}/v1",
                    "api_key": "none",
                },
                "model_info": {"role_guard": {"routing": "prefix_affinity", **settings}},
            }
            for backend in backends
        ]

    tagged, ordered, weighted = group("tagged"), group("ordered"), group("weighted")
    for at in range(SIZE):
        tagged[at]["litellm_params"]["tags"] = [f"gpu-{at}"]
        ordered[at]["litellm_params"]["order"] = 1 if at == 2 else 2
        weighted[at]["litellm_params"]["weight"] = 1 if at == 1 else 0
    half_dead = group("half-dead")[:2]
    half_dead[0]["litellm_params"]["api_base"] = f"http://127.0.0.1:{free_port()}/v1"
    return {
        "model_list": [
            *group("fleet", chat_template=str(STRICT)),
            *group("quiet", mode="off"),
            *group("plain", routing="off"),
            *tagged,
            *ordered,
            *weighted,
            *half_dead,
        ],
        "litellm_settings": {"callbacks": ["litellm_role_guard.role_guard", "flights.flights"]},
        "router_settings": {
            "num_retries": 1,
            "retry_after": 0,
            "disable_cooldowns": True,
            "enable_tag_filtering": True,
            "optional_pre_call_checks": ["session_affinity"],
        },
    }


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Run three backends, which take a moment for an answer, and a proxy that routes."""
    folder = tmp_path_factory.mktemp("fleet")
    shutil.copy(Path(__file__).with_name("flights.py"), folder)
    slow = {"latency": "0.1", "tokens-per-second": "100"}
    with ExitStack() as stack:
        urls = [stack.enter_context(simulator(folder, STRICT, **slow)) for _ in range(SIZE)]
        backends = [Backend(url) for url in urls]
        url = stack.enter_context(start_proxy(fleet_config(backends), folder))
        yield Fleet(Proxy(url), backends)


@pytest.fixture(autouse=True)
def _fresh(fleet: Fleet) -> None:
    fleet.forget()


WAYS = [(endpoint, stream) for endpoint in ENDPOINTS for stream in (False, True)]


@pytest.mark.parametrize(("endpoint", "stream"), WAYS)
def test_a_conversation_stays_where_it_began(fleet: Fleet, endpoint: str, stream: bool) -> None:
    """Each turn goes to one backend, also after a turn was left unanswered."""
    for name in ("one", "two", "three"):
        fleet.forget()
        limit: Any = {"max_output_tokens" if endpoint == "responses" else "max_tokens": 2}
        talk = [user(f"{endpoint} {stream} {name} {LONG}")]
        replies = [fleet.proxy.ask(endpoint, "fleet", talk, stream=stream, **limit)]
        for more in ([user("are you there?")], [assistant("yes"), user("good")]):
            talk += more
            replies.append(fleet.proxy.ask(endpoint, "fleet", talk, stream=stream, **limit))
        assert all(map(answered, replies))
        assert len(fleet.readers()) == 3
        assert len(set(fleet.readers())) == 1
        assert "routed=home" in replies[-1].headers["x-role-guard"]


def test_conversations_spread_over_the_group(fleet: Fleet) -> None:
    """Thirty conversations with one system prompt use every backend."""
    for number in range(30):
        prompt = {"role": "system", "content": LONG}
        fleet.proxy.ask("chat", "fleet", [prompt, user(f"spread {number}")], max_tokens=2)
    assert set(fleet.readers()) == set(range(SIZE))


def test_a_retry_goes_to_another_backend(fleet: Fleet) -> None:
    """A home that fails is not asked twice for one request, and says so in the header."""
    for number in range(5):
        text = f"retry {number} {LONG}"
        home = fleet.home(text)
        fleet.forget()
        fleet.fail(home, "error")
        reply = fleet.ask("chat", "fleet", text)
        assert answered(reply)
        assert reply.headers["x-role-guard"] == "routed=moved"
        readers = fleet.readers()
        assert readers.count(home) == 1
        assert len(set(readers)) == 2


def test_a_backend_that_is_gone_costs_no_answer(fleet: Fleet) -> None:
    """Where nothing listens at one address, all its conversations are answered at another."""
    for number in range(10):
        assert answered(fleet.ask("chat", "half-dead", f"dead {number} {LONG}"))


def test_many_requests_of_one_conversation_do_not_overload_its_home(fleet: Fleet) -> None:
    """At no time has a backend more than 1.25 times its share, counted at the backends.

    No answer ends before all requests are there, so that all of them are in flight at once.
    """
    count = 24
    for at in range(SIZE):
        fleet.fail(at, "hang")
    with ThreadPoolExecutor(count) as pool:
        talk = [user(f"popular {LONG}")]
        asking = [pool.submit(fleet.proxy.ask, "chat", "fleet", talk) for _ in range(count)]
        deadline = time.monotonic() + SETTLED_SECONDS
        while len(readers := fleet.readers()) < count and time.monotonic() < deadline:
            time.sleep(0.05)
        for backend in fleet.backends:  # the answers go on once the fault is over
            CLIENT.post(f"{backend.url}/control", json={"fault": None}).raise_for_status()
        replies = [asked.result(timeout=60) for asked in asking]
    assert all(map(answered, replies))
    assert len(readers) == count
    most = math.ceil(LOAD_BOUND * count / SIZE)
    assert max(readers.count(at) for at in range(SIZE)) <= most
    routed = [reply.headers["x-role-guard"] for reply in replies]
    assert {"routed=home", "routed=moved"} == set(routed)


class TestLitellmsOwnSay:
    """What an operator has told LiteLLM holds, whatever the guard would rather have."""

    @pytest.mark.parametrize("at", range(SIZE))
    def test_a_tag_decides(self, fleet: Fleet, at: int) -> None:
        """A request with a tag goes to the deployment with that tag."""
        for number in range(4):
            asked = f"tagged {number} {LONG}"
            reply = fleet.ask("chat", "tagged", asked, metadata={"tags": [f"gpu-{at}"]})
            assert answered(reply), reply.text
        assert set(fleet.readers()) == {at}

    def test_an_order_decides(self, fleet: Fleet) -> None:
        """Deployments of a later order are not used while one of an earlier order is healthy."""
        for number in range(6):
            assert answered(fleet.ask("chat", "ordered", f"ordered {number} {LONG}"))
        assert set(fleet.readers()) == {2}

    def test_a_weight_of_zero_decides(self, fleet: Fleet) -> None:
        """A deployment of weight 0 gets nothing while another is healthy."""
        for number in range(6):
            assert answered(fleet.ask("chat", "weighted", f"weighted {number} {LONG}"))
        assert set(fleet.readers()) == {1}

    def test_a_session_pin_decides(self, fleet: Fleet) -> None:
        """LiteLLM's session affinity keeps a session where it was, whatever it talks about."""
        session = {"x-litellm-session-id": "one-session"}
        for number in range(6):
            talk = [user(f"pinned {number} {LONG}")]
            body = body_of("chat", "fleet", talk) | {"max_tokens": 2}
            assert answered(fleet.proxy.post("chat", body, headers=session))
        assert len(set(fleet.readers())) == 1


class TestInFlight:
    """Whatever becomes of a request, it is not counted for longer than it lasts."""

    @pytest.mark.parametrize("group", ["fleet", "quiet"])
    @pytest.mark.parametrize(("endpoint", "stream"), WAYS)
    def test_an_answered_request(
        self, fleet: Fleet, endpoint: str, stream: bool, group: str
    ) -> None:
        """An answer ends it, in mode off as well."""
        assert answered(fleet.ask(endpoint, group, LONG, stream=stream))
        assert fleet.in_flight() == {}

    @pytest.mark.parametrize("fault", ["error", "refuse", "cut", "empty"])
    @pytest.mark.parametrize(("endpoint", "stream"), WAYS)
    def test_a_request_that_fails(
        self, fleet: Fleet, endpoint: str, stream: bool, fault: str
    ) -> None:
        """An error ends it, before the answer or amid it."""
        for at in range(SIZE):
            fleet.fail(at, fault)
        fleet.ask(endpoint, "fleet", LONG, stream=stream)
        fleet.forget()
        assert fleet.in_flight() == {}

    @pytest.mark.parametrize("endpoint", list(ENDPOINTS))
    def test_a_stream_that_is_left_amid_it(self, fleet: Fleet, endpoint: str) -> None:
        """A client that walks away from a stream ends it; until then it is counted."""
        leave = threading.Event()
        seen: list[bool] = []

        def read() -> None:
            body = body_of(endpoint, "fleet", [user("slowly " * 12)], stream=True)
            url = fleet.proxy.url + ENDPOINTS[endpoint]
            headers = {"Authorization": f"Bearer {MASTER_KEY}"}
            with httpx.stream("POST", url, json=body, headers=headers, timeout=60) as response:
                next(response.iter_bytes())
                seen.append(True)
                leave.wait(30)

        readers = [threading.Thread(target=read) for _ in range(3)]
        for reader in readers:
            reader.start()
        deadline = time.monotonic() + 10
        while len(seen) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        leave.set()
        for reader in readers:
            reader.join()
        assert len(seen) == 3
        assert fleet.in_flight() == {}

    @pytest.mark.parametrize("endpoint", list(ENDPOINTS))
    @pytest.mark.parametrize("stream", [False, True])
    def test_a_client_that_leaves_before_the_answer(
        self, fleet: Fleet, endpoint: str, stream: bool
    ) -> None:
        """A client that does not wait ends it, as soon as the backend is through with it."""
        for at in range(SIZE):
            fleet.fail(at, "hang")
        body = body_of(endpoint, "fleet", [user(LONG)], stream=stream)
        url = fleet.proxy.url + ENDPOINTS[endpoint]
        headers = {"Authorization": f"Bearer {MASTER_KEY}"}
        with pytest.raises(httpx.TimeoutException):
            httpx.post(url, json=body, headers=headers, timeout=0.5)
        fleet.forget()
        assert fleet.in_flight() == {}


@pytest.mark.slow
def test_the_load_that_another_proxy_brings_is_seen(tmp_path: Path) -> None:
    """Where a conversation's home has all it may have from one proxy, the other one's requests go
    elsewhere, as the backends' `/metrics` tell; once those are answered they come home again."""
    talk = [user(f"popular everywhere {LONG}")]
    with ExitStack() as stack:
        slow = {"tokens-per-second": "4"}
        urls = [stack.enter_context(simulator(tmp_path, STRICT, **slow)) for _ in range(2)]
        config = fleet_config([Backend(urls[at % 2]) for at in range(SIZE)])
        config["model_list"] = [
            each for each in config["model_list"] if each["model_name"] == "fleet"
        ][:2]
        config["litellm_settings"] = {"callbacks": ["litellm_role_guard.role_guard"]}
        proxies = []
        for name in ("first", "second"):
            (tmp_path / name).mkdir()
            proxies.append(Proxy(stack.enter_context(start_proxy(config, tmp_path / name))))

        def routed() -> str:
            reply = proxies[1].ask("chat", "fleet", talk, max_tokens=1)
            assert answered(reply), reply.text
            return reply.headers["x-role-guard"]

        assert routed() == "routed=home"
        with ThreadPoolExecutor(ROOM) as pool:
            ask = proxies[0].ask
            busy = [pool.submit(ask, "chat", "fleet", talk) for _ in range(ROOM)]
            seen = []
            while not all(reply.done() for reply in busy):
                seen.append(routed())
            assert all(answered(reply.result()) for reply in busy)
        assert {reply.result().headers["x-role-guard"] for reply in busy} == {"routed=home"}
        assert "routed=moved" in seen
        deadline = time.monotonic() + SETTLED_SECONDS
        while (last := routed()) != "routed=home" and time.monotonic() < deadline:
            time.sleep(0.2)  # the backends are asked every two seconds
        assert last == "routed=home"
        for name in ("first", "second"):
            assert "role guard failed" not in (tmp_path / name / "proxy.log").read_text()


@pytest.mark.slow
def test_the_example_of_a_fleet_runs(tmp_path: Path) -> None:
    """config.fleet.example.yaml as it is: each group answers, the big one's users also when all of
    its GPUs are down, and a Redis that is not there is in nobody's way."""
    config = tmp_path / "config.yaml"
    shutil.copy(REPOSITORY / "config.fleet.example.yaml", config)
    dead = f"http://127.0.0.1:{free_port()}/v1"
    with ExitStack() as stack:
        small = [stack.enter_context(simulator(tmp_path, STRICT, model="small")) for _ in range(2)]
        big = ExitStack()
        stack.push(big)
        addresses = [big.enter_context(simulator(tmp_path, model="big")) for _ in range(2)]
        environment = {
            **{f"SMALL_GPU_{at}": f"{url}/v1" for at, url in enumerate(small)},
            **{f"BIG_GPU_{at}": f"{url}/v1" for at, url in enumerate(addresses)},
            "BIG_GPU_2": dead,
            "REDIS_HOST": "127.0.0.1",
            "REDIS_PORT": str(free_port()),
            "LITELLM_MASTER_KEY": MASTER_KEY,
        }
        url = stack.enter_context(start(config, tmp_path / "proxy.log", environment))
        running = Proxy(url)
        broken = [user(LONG), user("are you there?"), assistant("yes"), user("good")]
        for group in ("big", "small"):
            reply = running.ask("chat", group, broken)
            assert answered(reply), reply.text
            assert "merged=1" in reply.headers["x-role-guard"]
            assert "routed=" in reply.headers["x-role-guard"]
        big.close()
        reply = running.ask("chat", "big", broken)
        assert answered(reply), reply.text
        assert reply.json()["model"] == "small"
    assert "role guard failed" not in (tmp_path / "proxy.log").read_text()


def test_the_log_holds_no_failure_of_the_guard(
    fleet: Fleet, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """After all of the above nothing of the guard has failed."""
    log: Path = next(tmp_path_factory.getbasetemp().glob("fleet*/proxy.log"))
    assert "role guard failed" not in log.read_text()
